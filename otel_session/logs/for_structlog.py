"""The ids in structlog's events: a processor.

    structlog.configure(processors=[for_structlog.add_ids, ..., structlog.processors.JSONRenderer()])

structlog itself is not imported.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from otel_session import attributes as names
from otel_session import context as here
from otel_session._guard import report
from otel_session.logs._commit import running_commit
from otel_session.logs._who import place_in, who_in

_FIELDS = tuple(name for name in names.RECORD_FIELDS if name != "short_session_id")


def add_ids(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add session id, correlation id, user id, trace id, span id and commit to an event.

    They are named as in JSON lines (`session_id`, …), and None when not known; the user is `anonymous` then. What the
    application has bound under one of these names stays. Costs some 2 µs; never raises.
    """
    try:
        context = here.get_current()
        who, place = who_in(context), place_in(context)
        ids = (who.session_id, who.correlation_id, who.user_id, place.trace_id, place.span_id, running_commit())
        for name, value in zip(_FIELDS, ids, strict=True):
            event.setdefault(name, value)
    except Exception:
        report("for_structlog.add_ids")
    return event
