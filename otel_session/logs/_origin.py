"""Where a record comes from, kept on it for those who write it elsewhere: another thread, another process.

It is plain data, so that it is pickled and copied with the record. Its name begins with an underscore: other libraries'
JSON formatters leave such attributes out.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from otel_session import attributes as names
from otel_session import context as here
from otel_session import failures
from otel_session.logs._who import ANONYMOUS, Place, Who, place, place_in, who, who_in
from otel_session.messages import merged

ORIGIN = names.RECORD_ORIGIN
"""The attribute of a record; holds a tuple, the fields of `Origin`."""


class Origin(NamedTuple):
    """Whose record it is, and what a QueueHandler takes off it.

    Attributes:
        who: Session id, correlation id, user id; each None when not known.
        place: Trace id and span id; None outside of a span.
        message: Its message without the traceback that a QueueHandler adds; None when there is no exception.
        error: Type, message and traceback of its exception.
    """

    who: tuple[str | None, str | None, str | None]
    place: tuple[str | None, str | None]
    message: str | None = None
    error: tuple[str, str, str] | None = None


def keep_origin(record: logging.LogRecord, context: Any = None) -> None:
    """Write down whose record it is, unless it says so already; a context given counts instead of the current one."""
    if ORIGIN in record.__dict__:
        return
    context = here.get_current() if context is None else context
    known, at = who_in(context), place_in(context)
    user = None if known.user_id == ANONYMOUS else known.user_id
    error = error_of(record)
    record.__dict__[ORIGIN] = (
        (known.session_id, known.correlation_id, user),
        (at.trace_id, at.span_id),
        None if error is None else _message(record),
        error,
    )


def origin_of(record: logging.LogRecord) -> Origin | None:
    """What the record says of its origin; None when it says nothing, or something that is not ours."""
    said = record.__dict__.get(ORIGIN)
    if said is None:
        return None
    try:
        (session, correlation, user), (trace_id, span_id), message, error = said
        texts = (session, correlation, user, trace_id, span_id, message, *(error or ()))
        if all(text is None or type(text) is str for text in texts) and (error is None or len(error) == 3):
            return Origin((session, correlation, user), (trace_id, span_id), message, error)
    except (TypeError, ValueError):  # it came over a socket, from anybody
        pass
    return None


def whose(record: logging.LogRecord) -> tuple[Who, Place, Origin | None]:
    """Who made the record and where, as lines show it; from its origin, else from the current context."""
    if ORIGIN in record.__dict__:
        origin = origin_of(record)
        if origin is not None:
            return who(*origin.who), place(*origin.place), origin
    context = here.get_current()
    return who_in(context), place_in(context), None


def error_of(record: logging.LogRecord) -> tuple[str, str, str] | None:
    """Type, message and traceback of a record's exception, without SQL values; None without one."""
    raised = record.exc_info[1] if isinstance(record.exc_info, tuple) else record.exc_info
    return parts_of(raised) if isinstance(raised, BaseException) else None


def parts_of(error: BaseException) -> tuple[str, str, str]:
    """Type, message and traceback of an exception, without SQL values. Never raises."""
    return failures.type_name(error), failures.message(error), failures.stacktrace(error)


def _message(record: logging.LogRecord) -> str | None:
    try:
        return merged(record)
    except Exception:  # its handlers complain themselves
        return None
