"""Spans, log records and metrics read back, with the bytes of their resources and scopes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from otel_session.store import shared
from otel_session.store.records import LogRow, MetricRow, SpanRow
from otel_session.store.schema import NO_SESSION, TRACE_BLOCK

_SPAN = (
    "SELECT sessions.session_id, traces.trace_id, span_id, parent_span_id, start_ns, start_ns + duration_ns, name, "
    "flags, resource, scope, body FROM spans JOIN traces ON traces.key = spans.trace "
    "LEFT JOIN sessions ON sessions.key = spans.session"
)
_TRACE_KEYS = f"""
WITH RECURSIVE blocks(block) AS (
    SELECT min(key) / {TRACE_BLOCK} FROM traces
    UNION ALL SELECT block + 1 FROM blocks WHERE block < (SELECT max(key) / {TRACE_BLOCK} FROM traces))
SELECT key FROM blocks CROSS JOIN traces ON traces.key / {TRACE_BLOCK} = block AND trace_id = ?"""  # noqa: S608 -- a constant only
_LOG = (
    "SELECT session_id, trace_id, span_id, time_ns, severity, event_name, flags, resource, scope, body "
    "FROM logs JOIN sessions ON sessions.key = logs.session"
)
_NOT_DOOMED = f"(session = {NO_SESSION} OR session_id IS NOT NULL)"


def spans_of_session(connection: sqlite3.Connection, session_id: str) -> list[SpanRow]:
    """A session's spans, by start time."""
    return _spans(connection, "session_id = ? ORDER BY start_ns, spans.key", session_id)


def spans_of_trace(connection: sqlite3.Connection, trace_id: bytes) -> list[SpanRow]:
    """A trace's spans, by start time."""
    return _spans(
        connection, f"spans.trace IN ({_TRACE_KEYS}) AND {_NOT_DOOMED} ORDER BY start_ns, spans.key", trace_id
    )


def spans_by_key(connection: sqlite3.Connection, keys: Sequence[int]) -> list[SpanRow]:
    """The spans with these keys, the latest start first."""
    marks = ", ".join(map(str, keys))
    return _spans(connection, f"spans.key IN ({marks}) AND {_NOT_DOOMED} ORDER BY start_ns DESC")


def logs_of_session(connection: sqlite3.Connection, session_id: str) -> list[LogRow]:
    """A session's log records, by time."""
    rows = connection.execute(f"{_LOG} WHERE session_id = ? ORDER BY time_ns, logs.key", (session_id,)).fetchall()
    return [LogRow(*row) for row in _with_values(connection, rows, 7)]


def metrics_since(connection: sqlite3.Connection, name: str | None, since_ns: int) -> list[MetricRow]:
    """Metrics by time of collection, those called `name` only if given."""
    rows = connection.execute(
        "SELECT time_ns, name, resource, scope, body FROM metrics "
        "WHERE time_ns >= ? AND (? IS NULL OR name = ?) ORDER BY time_ns, key",
        (since_ns, name, name),
    ).fetchall()
    return [MetricRow(*row) for row in _with_values(connection, rows, 2)]


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """How many rows there are of each kind."""
    row = connection.execute(
        "SELECT total(confirmed), total(NOT confirmed), "
        "total(spans) + (SELECT count(*) FROM spans WHERE session = :none), "
        "total(logs) + (SELECT count(*) FROM logs WHERE session = :none), "
        "(SELECT count(*) FROM metrics) FROM sessions",
        {"none": NO_SESSION},
    ).fetchone()
    return dict(zip(("sessions", "unconfirmed", "spans", "logs", "metrics"), map(int, row), strict=True))


def _spans(connection: sqlite3.Connection, condition: str, *parameters: object) -> list[SpanRow]:
    rows = connection.execute(f"{_SPAN} WHERE {condition}", parameters).fetchall()
    return [SpanRow(*row) for row in _with_values(connection, rows, 8)]


def _with_values(connection: sqlite3.Connection, rows: Sequence[Sequence[Any]], column: int) -> list[tuple[Any, ...]]:
    """Put the bytes of resource and scope for their keys, which are in `column` and the one after it."""
    values = shared.read_values(connection, (key for row in rows for key in row[column : column + 2]))
    return [(*row[:column], values[row[column]], values[row[column + 1]], *row[column + 2 :]) for row in rows]
