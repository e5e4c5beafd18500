"""OTLP/HTTP: encoded batches out by the official exporter's own client."""

from __future__ import annotations

# The client imports these at its first use, in a thread: a fork in the middle of that would leave the import locked
# for ever in the child.
import encodings.idna  # noqa: F401
import inspect
import logging
import netrc  # noqa: F401
import sys
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from otel_session import wire
from otel_session.exporters.otlp_answers import of_body, of_error, of_status
from otel_session.exporters.otlp_attempts import ENDPOINT, Attempts
from otel_session.exporters.otlp_connections import renew_connections
from otel_session.wire.batches import Batch, Outcome

_KINDS = {
    "spans": "otlp_http_span_exporter",
    "log records": "otlp_http_log_exporter",
    "data points": "otlp_http_metric_exporter",
}


class HttpConsumer:
    """OTLP/HTTP. One attempt is the official client's, its own retries within the export time-out included."""

    def __init__(self, exporter: Any, what: str) -> None:
        self._exporter = exporter
        self._client = exporter._client
        self._timeout_s = self._client._timeout
        self._last = self._hastened = self._ended = False
        self._trouble: Callable[[Outcome], None] | None = None
        self._attempts = self._client._transport = Attempts(self._client._transport)
        # It writes a line for each failure; the worker says when delivery begins to fail and when it works again.
        # A logger that no `dictConfig` finds and switches on.
        self._client._logger = logging.Logger("otel_session.transport", logging.CRITICAL + 1)
        parts = urlsplit(str(getattr(exporter, "_endpoint", "OTLP")))
        self.name = f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        self.kind = _KINDS[what]

    @staticmethod
    def fits(exporter: Any) -> bool:
        """Whether all that is reached for is there."""
        client: Any = getattr(exporter, "_client", None)
        transport: Any = getattr(client, "_transport", None)
        export, request = getattr(client, "export", None), getattr(transport, "request", None)
        return (
            all(hasattr(client, name) for name in ("_timeout", "_shutdown_event", "_logger"))
            and hasattr(transport, "close")
            and callable(export)
            and list(inspect.signature(export).parameters) == ["data"]
            and _gives(export, {"status_code", "reason", "error"})
            and callable(request)
            and _gives(request, {"status_code", "error", "headers", "content"})
        )

    def consume(self, batch: Batch, timeout_s: float | None = None) -> Outcome:
        """Send a batch."""
        data = wire.frame_request(batch.items)
        most = getattr(self._exporter, "_max_request_size", 0) or 0
        if 0 < most < len(data):
            return Outcome(
                False,
                cause="too_large",
                reason=f"a request has {len(data)} bytes, more than the {most} of the exporter's max_request_size",
                too_large=True,
            )
        self._attempts.begin()
        self._last = timeout_s is not None or self._hastened
        if not self._ended:
            self._client._shutdown_event.clear()
        self._client._timeout = self._timeout_s if timeout_s is None else min(self._timeout_s, timeout_s)
        outcome = self._judged(self._client.export(data))
        self._attempts.last = None  # an answer that stays alive keeps its connection open
        return outcome._replace(resent=self._attempts.resent)

    def _judged(self, result: Any) -> Outcome:
        status = result.status_code
        if status is not None and 200 <= status < 300:
            return of_body(self._attempts.body())
        if status is not None:  # the client takes a redirect for success, and does not follow it
            outcome = of_status(status, result.reason or "", self._attempts.header("retry-after"))
        else:
            outcome = of_error(result.error, ENDPOINT)
        return outcome._replace(doubtful=outcome.doubtful or self._attempts.doubtful)

    def watch(self, trouble: Callable[[Outcome], None]) -> None:
        """Hear of a failure while the client still retries, which it does for up to the export time-out."""
        self._trouble = trouble
        self._attempts.trouble = self._hear

    def _hear(self, outcome: Outcome) -> None:
        if self._trouble is not None:
            self._trouble(outcome)
        if self._last or self._hastened:  # the process ends: there is no time to try again
            self._client._shutdown_event.set()

    def hasten(self) -> None:
        """Repeat no request that fails, and end a wait between two."""
        self._hastened = True
        if self._attempts.failing:
            self._client._shutdown_event.set()

    def end(self) -> None:
        """Wake a wait between retries, and close the connections."""
        self._ended = True
        self._client._shutdown_event.set()
        self._attempts.close()

    def after_fork(self) -> None:
        """Connections of its own, and an event whose lock nobody holds."""
        self._client._shutdown_event = threading.Event()
        self._attempts.begin()
        renew_connections(self._exporter)


def _gives(method: Callable[..., Any], names: set[str]) -> bool:
    """Whether what a method returns has these names, as far as its annotation tells."""
    said = inspect.signature(method).return_annotation
    found = getattr(sys.modules.get(method.__module__), said, None) if isinstance(said, str) else said
    if not isinstance(found, type) or found is inspect.Signature.empty:
        return True
    return names <= {*dir(found), *getattr(found, "__dataclass_fields__", ())}
