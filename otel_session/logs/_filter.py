"""The ids as attributes of a record, for format strings of the application's own."""

from __future__ import annotations

import logging
from typing import Any

from otel_session import attributes as names
from otel_session._guard import report
from otel_session.logs._commit import running_commit
from otel_session.logs._origin import keep_origin, whose
from otel_session.logs._who import UNKNOWN, Place, Who


def fields_of(who: Who, place: Place) -> dict[str, str]:
    """The attributes that the filter puts on a record."""
    ids = (who.session_id, who.short, who.correlation_id, who.user_id, place.trace_id, place.span_id, running_commit())
    return {name: value or UNKNOWN for name, value in zip(names.RECORD_FIELDS, ids, strict=True)}


def take_out(extras: dict[str, Any], who: Who, place: Place) -> None:
    """Take out what the filter has put on a record, so that it does not count as the application's."""
    for name, value in fields_of(who, place).items():
        if name in extras and extras[name] == value:
            del extras[name]


class SessionFilter(logging.Filter):
    """Puts the ids on records, as attributes that format strings name.

    They are `session_id`, `short_session_id`, `correlation_id`, `user_id`, `trace_id`, `span_id` and `commit`. What is
    not known is `-`, the user `anonymous`. An attribute that the application has set itself stays. Lets every record
    through and never raises. On a `QueueHandler`, or a handler that sends records to another process, the ids are those
    of the thread that logged.
    """

    def __init__(self) -> None:
        """Set up; unlike `logging.Filter` it takes no name, since it holds nothing back."""
        super().__init__()

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attributes; True. Costs some 5 µs."""
        try:
            keep_origin(record)
            who, place, _ = whose(record)
            record.__dict__.update({**fields_of(who, place), **record.__dict__})
        except Exception:
            report("SessionFilter")
        return True
