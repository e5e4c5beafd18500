"""The sessions' summary rows: read, added to and written back under one write lock."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from otel_session.store.activity import Activity

_COLUMNS = (
    "session_id, confirmed, first_ns, last_ns, spans, requests, failed_requests, statements, logs, error_logs, bytes, "
    "request_trace, resources, key"
)
_INSERT = f"INSERT INTO sessions ({_COLUMNS}) VALUES ({', '.join('?' * 14)})"  # noqa: S608 -- constants only
_UPDATE = (
    "UPDATE sessions SET confirmed = ?, first_ns = ?, last_ns = ?, spans = ?, requests = ?, failed_requests = ?, "
    "statements = ?, logs = ?, error_logs = ?, bytes = ?, request_trace = ?, resources = ? WHERE key = ?"
)
_CHUNK = 500
"""Values in one statement: old builds of SQLite take 999."""


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
    for chunk in _chunks(list(waiting)):
        query = f"SELECT {_COLUMNS} FROM sessions WHERE session_id IN ({', '.join('?' * len(chunk))})"  # noqa: S608 -- marks
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


def _chunks(values: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
