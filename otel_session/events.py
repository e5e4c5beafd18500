"""The log events of a session's life: `session.start` and `session.end` (semantic conventions, session events)."""

from __future__ import annotations

import time
from typing import Any

from opentelemetry import _logs
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context

from otel_session import attributes as names
from otel_session import context as here
from otel_session._guard import guarded
from otel_session.context import Identity

_SCOPE = "otel_session"
_provider: Any = None


def use_provider(provider: Any) -> None:
    """Emit to this logger provider; None stands for the global one."""
    global _provider
    _provider = provider


def session_started(identity: Identity, *, start_s: float | None) -> None:
    """Say that a session is confirmed: its client brought the id back.

    A client that never does (a probe, a scraper) starts no session, so such clients cannot flood the log.

    Args:
        identity: Who it is.
        start_s: When its first request came, in seconds since the epoch; None for now.
    """
    extra = {names.SESSION_PREVIOUS_ID: identity.previous_id} if identity.previous_id else {}
    _emit(names.EVENT_SESSION_START, identity, start_s, extra)


def session_ended(identity: Identity, reason: str, *, at_s: float | None = None) -> None:
    """Say that a session ended: `idle` or `lifetime` when its id is replaced, `explicit` when the application says so.

    Args:
        identity: Who it was.
        reason: Why.
        at_s: When, in seconds since the epoch; None for now.
    """
    _emit(names.EVENT_SESSION_END, identity, at_s, {names.SESSION_END_REASON: reason})


@guarded
def _emit(event: str, identity: Identity, at_s: float | None, extra: dict[str, str]) -> None:
    now_ns = time.time_ns()
    _logs.get_logger(_SCOPE, logger_provider=_provider).emit(
        timestamp=now_ns if at_s is None else int(at_s * 1e9),
        observed_timestamp=now_ns,
        context=here.put(identity, Context(), in_baggage=False),
        severity_number=SeverityNumber.INFO,
        severity_text="INFO",
        event_name=event,
        attributes={**identity.attributes, **extra},
    )
