"""The official HTTP transport, watched: how one batch's requests ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_session.exporters.otlp_answers import of_error
from otel_session.wire.batches import Outcome

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""The variable that a person may have to correct."""


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
            outcome = of_error(result.error, ENDPOINT)
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
