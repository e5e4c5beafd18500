"""Which log records are the application's own lines, and which only repeat what requests and events say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from otel_session.store.decode import decode_scope
from otel_session.store.records import LogKind, LogRow
from otel_session.store.views import LogView

_ACCESS_LOGGERS = frozenset({"werkzeug", "gunicorn.access", "uvicorn.access", "hypercorn.access"})
_OURS = "otel_session"
_THEIRS_BY_US = frozenset({"otel_session.operations", "otel_session.perf"})
_WARN = 13


@dataclass(frozen=True, slots=True)
class LogCounts:
    """A session's log records: the application's own lines, events, and web servers' lines about requests."""

    lines: int = 0
    events: int = 0
    access_lines: int = 0


def is_access_line(log: LogView) -> bool:
    """Whether a web server says here what the request says anyway."""
    return not log.event_name and log.severity < _WARN and log.scope in _ACCESS_LOGGERS


def count_kinds(kinds: Iterable[LogKind]) -> LogCounts:
    """Add up what the store counted; our own logger's lines are in no count."""
    lines = events = access_lines = 0
    for kind in kinds:
        scope = decode_scope(kind.scope)
        if kind.is_event:
            events += kind.count
        elif scope in _ACCESS_LOGGERS and not kind.is_warning:
            access_lines += kind.count
        elif scope.partition(".")[0] != _OURS or scope in _THEIRS_BY_US:
            lines += kind.count
    return LogCounts(lines, events, access_lines)


def count_rows(rows: Iterable[LogRow]) -> LogCounts:
    """Count log records one by one, as `count_kinds` does."""
    return count_kinds(LogKind(row.scope, bool(row.event_name), row.severity >= _WARN, 1) for row in rows)
