"""Reading a telemetry file, while others write to it or after all have gone."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Any

from otel_session.store import _search, shared
from otel_session.store._handle import Handle
from otel_session.store._opening import open_for_reading
from otel_session.store.records import LogKind, LogRow, MetricRow, SessionSummary, SpanRow
from otel_session.store.schema import NO_SESSION, TRACE_BLOCK

_SUMMARY = (
    "session_id, confirmed, min(first_ns, last_ns), last_ns, spans, requests, failed_requests, statements, logs, "
    "error_logs, resources FROM sessions"
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
        self,
        *,
        limit: int = 50,
        since_ns: int | None = None,
        confirmed_only: bool = True,
        troubled_only: bool = False,
        among: Collection[str] | None = None,
    ) -> list[SessionSummary]:
        """The sessions with the newest activity, newest first.

        Args:
            limit: The most to return.
            since_ns: Only those active at or after this time, in nanoseconds since the epoch.
            confirmed_only: Leave out clients that never came back with their session id.
            troubled_only: Only those with a failed request or an error log record.
            among: Only those with one of these ids.
        """
        since = _EARLIEST if since_ns is None else since_ns
        # Two arms, each in the order of the index, are merged; one without the equation would be sorted.
        wanted = (1,) if confirmed_only else (1, 0)
        more = f" AND {_search.TROUBLED}" if troubled_only else ""
        arms = [f"SELECT {_SUMMARY} WHERE confirmed = {confirmed} AND last_ns >= ?{more}" for confirmed in wanted]
        with self._handle.use() as connection, _Snapshot(connection):
            found = connection.execute(f"{' UNION ALL '.join(arms)} ORDER BY last_ns DESC", [since] * len(arms))
            rows = list(islice((row for row in found if among is None or row[0] in among), limit))
            found.close()
            resources = shared.read_values(connection, (int(key) for row in rows for key in row[-1].split()))
        return [
            SessionSummary(*(row[0], bool(row[1]), *row[2:-1], tuple(resources[int(key)] for key in row[-1].split())))
            for row in rows
        ]

    def unconfirmed_count(
        self, since_ns: int | None = None, *, troubled_only: bool = False, among: Collection[str] | None = None
    ) -> int:
        """How many clients never came back with their session id; the arguments narrow it as those of `sessions`."""
        since = _EARLIEST if since_ns is None else since_ns
        where = "WHERE confirmed = 0 AND last_ns >= ?" + (f" AND {_search.TROUBLED}" if troubled_only else "")
        if among is None:
            return self._number(f"SELECT count(*) FROM sessions {where}", since)  # noqa: S608 -- constants only
        with self._handle.use() as connection:
            query = f"SELECT session_id FROM sessions {where}"  # noqa: S608 -- constants only
            return sum(row[0] in among for row in connection.execute(query, (since,)))

    def sessions_requesting(
        self, *, any_of: Sequence[bytes] = (), min_ns: int = 0, accept: Callable[[bytes], bool] | None = None
    ) -> set[str]:
        """Ids of the sessions with a request like this; all spans are read for it.

        Args:
            any_of: What its OTLP bytes hold one of.
            min_ns: What it took at least, in nanoseconds.
            accept: Asked with its OTLP bytes at the end, until it says yes for the session.
        """
        with self._handle.use() as connection, _Snapshot(connection):
            return _search.sessions_requesting(connection, any_of, min_ns, accept)

    def requests_holding(self, holding: bytes, *, limit: int = 1_000) -> list[SpanRow]:
        """The newest requests whose OTLP bytes hold these, of whatever session; all spans are read for it."""
        with self._handle.use() as connection, _Snapshot(connection):
            keys = _search.request_keys(connection, holding, limit)
            marks = ", ".join(map(str, keys))
            rows = connection.execute(
                f"{_SPAN} WHERE spans.key IN ({marks}) AND (session = {NO_SESSION} OR session_id IS NOT NULL) "
                "ORDER BY start_ns DESC"
            ).fetchall()
            return [SpanRow(*row) for row in _with_values(connection, rows, 8)]

    def request_bodies(self, session_ids: Collection[str], *, any_of: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
        """Yield session id and OTLP bytes of the sessions' requests that hold one of the bytes.

        The connection is the caller's until the last one was taken.
        """
        with self._handle.use() as connection, _Snapshot(connection):
            yield from _search.request_bodies(connection, session_ids, any_of)

    def log_kinds(self, session_ids: Collection[str]) -> list[tuple[str, LogKind]]:
        """How many log records of which kind each of the sessions has; those without any do not appear."""
        with self._handle.use() as connection, _Snapshot(connection):
            found = list(_search.log_kinds(connection, session_ids))
            scopes = shared.read_values(connection, (kind[0] for _, kind in found))
        return [(session_id, LogKind(scopes[kind[0]], *kind[1:])) for session_id, kind in found]

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
