"""Reading a telemetry file, while others write to it or after all have gone."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from otel_session.store import shared
from otel_session.store._handle import Handle
from otel_session.store._opening import open_for_reading
from otel_session.store.records import LogRow, MetricRow, SessionSummary, SpanRow
from otel_session.store.schema import NO_SESSION, TRACE_BLOCK

_SUMMARY = (
    "session_id, confirmed, first_ns, last_ns, spans, requests, failed_requests, statements, logs, error_logs, "
    "resources FROM sessions"
)
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
_EARLIEST = -(2**63)


class StoreReader:
    """A read-only view of one telemetry file; it never makes nor changes it, and no writer waits for it.

    Each method answers from one moment's content. Thread-safe, and usable in forked children.

    Args:
        path: The file.

    Raises:
        StoreError: There is no file, or it cannot be read; the message says why and what to do. So for each method.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._handle = Handle(path, open_for_reading)
        with self._handle.use():
            pass

    def sessions(
        self, *, limit: int = 50, since_ns: int | None = None, confirmed_only: bool = True
    ) -> list[SessionSummary]:
        """The sessions with the newest activity, newest first.

        Args:
            limit: The most to return.
            since_ns: Only those active at or after this time, in nanoseconds since the epoch.
            confirmed_only: Leave out clients that never came back with their session id.
        """
        since = _EARLIEST if since_ns is None else since_ns
        # Two arms, each in the order of the index, are merged; one without the equation would be sorted.
        wanted = (1,) if confirmed_only else (1, 0)
        arms = [f"SELECT {_SUMMARY} WHERE confirmed = {confirmed} AND last_ns >= ?" for confirmed in wanted]
        with self._handle.use() as connection, _Snapshot(connection):
            rows = connection.execute(
                f"{' UNION ALL '.join(arms)} ORDER BY last_ns DESC LIMIT ?", [since] * len(arms) + [limit]
            ).fetchall()
            resources = shared.read_values(connection, (int(key) for row in rows for key in row[-1].split()))
        return [
            SessionSummary(*(row[0], bool(row[1]), *row[2:-1], tuple(resources[int(key)] for key in row[-1].split())))
            for row in rows
        ]

    def unconfirmed_count(self, since_ns: int | None = None) -> int:
        """How many clients, active at or after `since_ns`, never came back with their session id."""
        return self._number(
            "SELECT count(*) FROM sessions WHERE confirmed = 0 AND last_ns >= ?",
            _EARLIEST if since_ns is None else since_ns,
        )

    def find(self, prefix: str) -> list[str]:
        """All session ids that start with `prefix`, confirmed or not, in order; an id equal to it is the first."""
        prefix = prefix.encode("utf-8", "replace").decode()
        with self._handle.use() as connection:
            rows = connection.execute(
                "SELECT session_id FROM sessions WHERE session_id >= ? AND session_id < ? ORDER BY session_id",
                (prefix, prefix + "\U0010ffff"),
            ).fetchall()
        return [row[0] for row in rows]

    def spans(self, session_id: str) -> list[SpanRow]:
        """The session's spans, by start time; none when the session is unknown."""
        return self._spans("session_id = ? ORDER BY start_ns, spans.key", session_id)

    def trace(self, trace_id: bytes) -> list[SpanRow]:
        """The trace's spans, by start time, of whatever session; none when the trace is unknown."""
        return self._spans(
            f"spans.trace IN ({_TRACE_KEYS}) AND (session = {NO_SESSION} OR session_id IS NOT NULL) "
            "ORDER BY start_ns, spans.key",
            trace_id,
        )

    def logs(self, session_id: str) -> list[LogRow]:
        """The session's log records, by time; none when the session is unknown."""
        with self._handle.use() as connection, _Snapshot(connection):
            rows = connection.execute(
                f"{_LOG} WHERE session_id = ? ORDER BY time_ns, logs.key", (session_id,)
            ).fetchall()
            return [LogRow(*row) for row in _with_values(connection, rows, 7)]

    def metrics(self, *, name: str | None = None, since_ns: int | None = None) -> list[MetricRow]:
        """Metrics by time of collection, those called `name` only if given, from `since_ns` on."""
        since = _EARLIEST if since_ns is None else since_ns
        with self._handle.use() as connection, _Snapshot(connection):
            rows = connection.execute(
                "SELECT time_ns, name, resource, scope, body FROM metrics "
                "WHERE time_ns >= ? AND (? IS NULL OR name = ?) ORDER BY time_ns, key",
                (since, name, name),
            ).fetchall()
            return [MetricRow(*row) for row in _with_values(connection, rows, 2)]

    def counts(self) -> dict[str, int]:
        """What the store holds: `sessions` (confirmed), `unconfirmed`, `spans`, `logs` and `metrics`."""
        with self._handle.use() as connection:
            row = connection.execute(
                "SELECT total(confirmed), total(NOT confirmed), "
                "total(spans) + (SELECT count(*) FROM spans WHERE session = :none), "
                "total(logs) + (SELECT count(*) FROM logs WHERE session = :none), "
                "(SELECT count(*) FROM metrics) FROM sessions",
                {"none": NO_SESSION},
            ).fetchone()
        return dict(zip(("sessions", "unconfirmed", "spans", "logs", "metrics"), map(int, row), strict=True))

    def close(self) -> None:
        """Close the file; closing twice is allowed."""
        self._handle.close()

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _number(self, query: str, *parameters: object) -> int:
        with self._handle.use() as connection:
            number: int = connection.execute(query, parameters).fetchone()[0]
        return number

    def _spans(self, condition: str, parameter: str | bytes) -> list[SpanRow]:
        with self._handle.use() as connection, _Snapshot(connection):
            rows = connection.execute(f"{_SPAN} WHERE {condition}", (parameter,)).fetchall()
            return [SpanRow(*row) for row in _with_values(connection, rows, 8)]


class _Snapshot:
    """One moment's content for all statements of the block."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN")

    def __exit__(self, *_: object) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _with_values(connection: sqlite3.Connection, rows: Sequence[Sequence[Any]], column: int) -> list[tuple[Any, ...]]:
    """Put the bytes of resource and scope for their keys, which are in `column` and the one after it."""
    values = shared.read_values(connection, (key for row in rows for key in row[column : column + 2]))
    return [(*row[:column], values[row[column]], values[row[column + 1]], *row[column + 2 :]) for row in rows]
