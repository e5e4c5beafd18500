"""What one batch of rows adds to its sessions' summary rows."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from otel_session.store.records import (
    FLAG_CONFIRMED,
    FLAG_ERROR,
    FLAG_REQUEST,
    FLAG_STATEMENT,
    LogRow,
    SpanRow,
)
from otel_session.store.schema import NO_SESSION

ROW_BYTES = 120
"""What a span or log record takes in the file beside its body: its columns and index entries, about."""

_COLUMNS = (
    "session_id, confirmed, first_ns, last_ns, spans, requests, failed_requests, statements, logs, error_logs, bytes, "
    "request_trace, resources, key"
)
_INSERT = f"INSERT INTO sessions ({_COLUMNS}) VALUES ({', '.join('?' * 14)})"  # noqa: S608 -- constants only
_UPDATE = (
    "UPDATE sessions SET confirmed = ?, first_ns = ?, last_ns = ?, spans = ?, requests = ?, failed_requests = ?, "
    "statements = ?, logs = ?, error_logs = ?, bytes = ?, request_trace = ?, resources = ? WHERE key = ?"
)

_T = TypeVar("_T")


class Activity:
    """A session's summary row in the making: what a batch holds, then together with what the file had."""

    __slots__ = (
        "bytes",
        "confirmed",
        "error_logs",
        "failed_requests",
        "first_ns",
        "key",
        "last_ns",
        "logs",
        "request_trace",
        "requests",
        "resources",
        "spans",
        "statements",
    )

    def __init__(self, first_ns: int) -> None:
        self.key = NO_SESSION
        self.confirmed = False
        self.first_ns = first_ns
        self.last_ns = first_ns
        self.spans = self.requests = self.failed_requests = self.statements = 0
        self.logs = self.error_logs = self.bytes = 0
        self.request_trace: bytes | None = None
        self.resources: dict[bytes, None] = {}

    def add_span(self, row: SpanRow) -> None:
        """Count one span."""
        self.spans += 1
        self.bytes += len(row.body) + ROW_BYTES
        if row.start_ns < self.first_ns:
            self.first_ns = row.start_ns
        if row.end_ns > self.last_ns:
            self.last_ns = row.end_ns
        if row.resource not in self.resources:
            self.resources[row.resource] = None
        flags = row.flags
        if flags & FLAG_REQUEST:
            self.requests += 1
            self.failed_requests += flags & FLAG_ERROR  # the flag's value is 1
            self._meet_request_trace(row.trace_id)
        if flags & FLAG_STATEMENT:
            self.statements += 1
        if flags & FLAG_CONFIRMED:
            self.confirmed = True

    def add_log(self, row: LogRow) -> None:
        """Count one log record."""
        self.logs += 1
        self.bytes += len(row.body) + ROW_BYTES
        if row.time_ns < self.first_ns:
            self.first_ns = row.time_ns
        if row.time_ns > self.last_ns:
            self.last_ns = row.time_ns
        if row.resource not in self.resources:
            self.resources[row.resource] = None
        self.error_logs += row.flags & FLAG_ERROR
        if row.flags & FLAG_CONFIRMED:
            self.confirmed = True

    def _meet_request_trace(self, trace_id: bytes | None) -> None:
        """A second request, known by its other trace, confirms the session."""
        if self.request_trace is None:
            self.request_trace = trace_id
        elif trace_id is not None and trace_id != self.request_trace:
            self.confirmed = True

    def add_stored(self, row: Sequence[Any]) -> None:
        """Add what the file already has of the session: its columns from `confirmed` to `request_trace`."""
        confirmed, first_ns, last_ns, spans, requests, failed, statements, logs, error_logs, size, trace = row
        self.confirmed = self.confirmed or bool(confirmed)
        self.first_ns = min(self.first_ns, first_ns)
        self.last_ns = max(self.last_ns, last_ns)
        self.spans += spans
        self.requests += requests
        self.failed_requests += failed
        self.statements += statements
        self.logs += logs
        self.error_logs += error_logs
        self.bytes += size
        self._meet_request_trace(trace)

    def as_columns(self, resources: str) -> tuple[Any, ...]:
        """The row's columns from `confirmed` to `key`."""
        return (
            self.confirmed,
            self.first_ns,
            self.last_ns,
            self.spans,
            self.requests,
            self.failed_requests,
            self.statements,
            self.logs,
            self.error_logs,
            self.bytes,
            self.request_trace,
            resources,
            self.key,
        )


def collect(spans: Iterable[SpanRow], logs: Iterable[LogRow]) -> dict[str | None, Activity]:
    """Sum up a batch by session id. The entry for None is the rows without a session; it is always there."""
    activities: dict[str | None, Activity] = {None: Activity(0)}
    for span in spans:
        activity = activities.get(span.session_id)
        if activity is None:
            activity = activities[span.session_id] = Activity(span.start_ns)
        activity.add_span(span)
    for log in logs:
        activity = activities.get(log.session_id)
        if activity is None:
            activity = activities[log.session_id] = Activity(log.time_ns)
        activity.add_log(log)
    return activities


def save(
    connection: sqlite3.Connection, activities: Mapping[str | None, Activity], shared_keys: Mapping[bytes, int]
) -> Counter[int]:
    """Write the summary rows and set each activity's `key`, inside the caller's transaction.

    Returns:
        How many more summary rows than before name each key of `shared`.
    """
    uses: Counter[int] = Counter()
    waiting = {session_id: activity for session_id, activity in activities.items() if session_id is not None}
    known = []
    for chunk in chunks(waiting, 500):
        query = f"SELECT {_COLUMNS} FROM sessions WHERE session_id IN ({', '.join('?' * len(chunk))})"  # noqa: S608
        for session_id, *stored, resources, key in connection.execute(query, chunk):
            activity = waiting.pop(session_id)
            activity.key = key
            activity.add_stored(stored)
            known.append(activity.as_columns(_join_keys(resources, activity, shared_keys, uses)))
    connection.executemany(_UPDATE, known)
    made = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'sessions'").fetchone()
    fresh = []
    for key, (session_id, activity) in enumerate(waiting.items(), made[0] + 1 if made else 1):
        activity.key = key
        fresh.append((session_id, *activity.as_columns(_join_keys("", activity, shared_keys, uses))))
    connection.executemany(_INSERT, fresh)
    return uses


def _join_keys(stored: str, activity: Activity, shared_keys: Mapping[bytes, int], uses: Counter[int]) -> str:
    """Add the batch's resources behind those the session already had."""
    had = stored.split()
    more = [key for key in (str(shared_keys[value]) for value in activity.resources) if key not in had]
    if not more:
        return stored
    uses.update(map(int, more))
    return " ".join(had + more)


def chunks(values: Iterable[_T], size: int) -> Iterable[list[_T]]:
    """Cut into lists of `size`: old builds of SQLite take 999 parameters in a statement."""
    iterator = iter(values)
    while chunk := list(islice(iterator, size)):
        yield chunk
