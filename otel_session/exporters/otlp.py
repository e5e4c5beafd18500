"""Encoded batches out by the official OTLP exporters' own transports, HTTP and gRPC.

Endpoints, headers, certificates, compression and time-outs are the official exporter's, as the standard variables say.
Its transport has no public name: it is reached for in `otlp*.py` only, and where it is not as expected there is no
consumer and the stock pipeline does the work.
"""

from __future__ import annotations

# The transports import these at their first use, in a thread: a fork in the middle of that would leave the import
# locked for ever in the child.
import encodings.idna  # noqa: F401
import inspect
import logging
import netrc  # noqa: F401
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from otel_session import wire
from otel_session.exporters.otlp_answers import of_body, of_error, of_status
from otel_session.exporters.otlp_grpc import GrpcConsumer
from otel_session.wire.batches import Batch, Consumer, Outcome

_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"


def consumer_for(exporter: Any, what: str) -> Consumer | None:
    """A consumer that sends by an official exporter's transport; None when the exporter is of another kind.

    Args:
        exporter: As the SDK made it.
        what: `spans` or `log records`.
    """
    module = type(exporter).__module__
    if module.startswith("opentelemetry.exporter.otlp.proto.http") and _has_http_client(exporter):
        return HttpConsumer(exporter, what)
    if module.startswith("opentelemetry.exporter.otlp.proto.grpc") and GrpcConsumer.fits(exporter):
        return GrpcConsumer(exporter, what)
    return None


def _has_http_client(exporter: Any) -> bool:
    client = getattr(exporter, "_client", None)
    names = ("_transport", "_timeout", "_shutdown_event", "_logger")
    return (
        all(hasattr(client, name) for name in names)
        and callable(getattr(client._transport, "request", None))  # type: ignore[union-attr]
        and list(inspect.signature(client.export).parameters) == ["data"]  # type: ignore[union-attr]
    )


def renew_connections(exporter: Any) -> None:
    """Let an official HTTP exporter make connections of its own in a child process.

    The parent's are left as they are: closing them takes locks that the fork may have left taken.
    """
    transport = getattr(getattr(exporter, "_client", None), "_transport", None)
    adapters = getattr(getattr(transport, "_session", None), "adapters", {})
    cookies: Any = getattr(getattr(transport, "_session", None), "cookies", None)
    if hasattr(cookies, "_cookies_lock"):
        cookies._cookies_lock = threading.RLock()
    for adapter in adapters.values():
        try:
            _abandoned.append(adapter.poolmanager)
            adapter.init_poolmanager(adapter._pool_connections, adapter._pool_maxsize, block=adapter._pool_block)
            adapter.proxy_manager = {}
        except AttributeError:  # an adapter of the user's own
            continue


_abandoned: list[Any] = []


class Attempts:
    """The transport, remembering of one batch's requests how they ended, and telling of trouble at once.

    Attributes:
        failing: The last request of all failed.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.trouble: Callable[[Outcome], None] | None = None
        self.failing = False
        self.begin()

    def begin(self) -> None:
        """Forget the requests before."""
        self.last: Any = None
        self.resent = self._errors = 0
        self._unanswered = False

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """Send, as the transport does."""
        self.resent += self._unanswered
        self.last = result = self._transport.request(*args, **kwargs)
        self.failing = result.status_code is None or result.status_code >= 300
        if result.status_code is None:
            outcome = of_error(result.error, _VARIABLE)
            self._unanswered = self._unanswered or outcome.doubtful
            self._errors += 1
            # The client repeats the first at once: a connection may have been closed while it was not in use.
            if self.trouble is not None and self._errors > 1:
                self.trouble(outcome)
        return result

    def header(self, name: str) -> str | None:
        """A header of the last answer."""
        try:
            found = self.last.headers().get(name)
        except Exception:
            return None
        return found if isinstance(found, str) else None

    def body(self) -> bytes:
        """The body of the last answer."""
        try:
            return bytes(self.last.content())
        except Exception:
            return b""

    @property
    def doubtful(self) -> bool:
        """Whether one of the requests may have arrived although no answer came."""
        return self._unanswered

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class HttpConsumer:
    """OTLP/HTTP. One attempt is the official client's, its own retries within the export time-out included."""

    def __init__(self, exporter: Any, what: str) -> None:
        self._exporter = exporter
        self._client = exporter._client
        self._timeout_s = self._client._timeout
        self._last = self._ended = False
        self._trouble: Callable[[Outcome], None] | None = None
        self._attempts = self._client._transport = Attempts(self._client._transport)
        # It writes a line for each failure; the worker says when delivery begins to fail and when it works again.
        # A logger that no `dictConfig` finds and switches on.
        self._client._logger = logging.Logger("otel_session.transport", logging.CRITICAL + 1)
        parts = urlsplit(str(getattr(exporter, "_endpoint", "OTLP")))
        self.name = f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        self.kind = "otlp_http_span_exporter" if what == "spans" else "otlp_http_log_exporter"

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
        self._last = timeout_s is not None
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
            outcome = of_error(result.error, _VARIABLE)
        return outcome._replace(doubtful=outcome.doubtful or self._attempts.doubtful)

    def watch(self, trouble: Callable[[Outcome], None]) -> None:
        """Hear of a failure while the client still retries, which it does for up to the export time-out."""
        self._trouble = trouble
        self._attempts.trouble = self._hear

    def _hear(self, outcome: Outcome) -> None:
        if self._trouble is not None:
            self._trouble(outcome)
        if self._last:  # the process ends: there is no time to try again
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
