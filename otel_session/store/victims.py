"""What a full store gives up next: always the oldest thing in it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from otel_session.store import shared
from otel_session.store.activity import ROW_BYTES
from otel_session.store.records import FLAG_ERROR, FLAG_REQUEST, FLAG_STATEMENT
from otel_session.store.schema import NO_SESSION

_GRACE_NS = 1_000_000_000
"""Rows within one second of the oldest are as old as it: fewer, larger steps."""

_OLDEST_ROWS = f"""
SELECT * FROM (
    SELECT 0, key, start_ns AS time, flags, resource, scope, length(body) + {ROW_BYTES}, trace FROM spans
    WHERE session = :session AND start_ns <= :until ORDER BY start_ns LIMIT :rows)
UNION ALL SELECT * FROM (
    SELECT 1, key, time_ns AS time, flags, resource, scope, length(body) + {ROW_BYTES}, NULL FROM logs
    WHERE session = :session AND time_ns <= :until ORDER BY time_ns LIMIT :rows)
ORDER BY time LIMIT :rows"""  # noqa: S608 -- a constant only
_FIRST_ROW = """
SELECT min(time) FROM (
    SELECT min(start_ns) AS time FROM spans WHERE session = :session
    UNION ALL SELECT min(time_ns) FROM logs WHERE session = :session)"""
_LAST_TIME = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Victim:
    """What to delete next.

    `session` is a session's whole rows, `rows` the oldest rows of a large session (`key`) or of none (NO_SESSION),
    `metrics` the oldest metrics. `time_ns` is its age, `until_ns` the age of what comes after it.
    """

    kind: Literal["session", "rows", "metrics"]
    time_ns: int
    key: int = NO_SESSION
    until_ns: int = _LAST_TIME


def oldest(connection: sqlite3.Connection, *, large_bytes: int) -> Victim | None:
    """The oldest thing in the store, or None when it is empty.

    Args:
        connection: In a write transaction.
        large_bytes: A session above this size is as old as its first row, and loses rows; any other is as old as
            its last activity.
    """
    found = sorted(set(_candidates(connection, large_bytes)), key=lambda victim: victim.time_ns)
    if not found:
        return None
    first = found[0]
    next_ns = found[1].time_ns if len(found) > 1 else _LAST_TIME
    return replace(first, until_ns=min(max(next_ns, first.time_ns + _GRACE_NS), _LAST_TIME))


def _candidates(connection: sqlite3.Connection, large_bytes: int) -> Iterator[Victim]:
    for confirmed in (0, 1):
        row = connection.execute(
            "SELECT last_ns, first_ns, key, bytes FROM sessions WHERE confirmed = ? ORDER BY last_ns LIMIT 1",
            (confirmed,),
        ).fetchone()
        if row is not None:
            last_ns, first_ns, key, size = row
            yield Victim("session", last_ns, key) if size <= large_bytes else Victim("rows", first_ns, key)
    large = connection.execute(
        "SELECT first_ns, key FROM sessions WHERE bytes > 262144 AND bytes > ? ORDER BY first_ns LIMIT 1",
        (large_bytes,),
    ).fetchone()
    if large is not None:
        yield Victim("rows", large[0], large[1])
    loose = connection.execute(_FIRST_ROW, {"session": NO_SESSION}).fetchone()[0]
    if loose is not None:
        yield Victim("rows", loose)
    metric = connection.execute("SELECT min(time_ns) FROM metrics").fetchone()[0]
    if metric is not None:
        yield Victim("metrics", metric)


def doom(connection: sqlite3.Connection, key: int) -> None:
    """Take the session out of every reader's sight; its rows follow, with `delete_doomed`."""
    resources = connection.execute("SELECT resources FROM sessions WHERE key = ?", (key,)).fetchone()[0]
    shared.drop_uses(connection, Counter(map(int, resources.split())))
    connection.execute("DELETE FROM sessions WHERE key = ?", (key,))
    connection.execute("INSERT INTO doomed VALUES (?)", (key,))


def delete_doomed(connection: sqlite3.Connection, rows: int) -> int:
    """Delete up to `rows` rows of sessions that were taken out of sight; return how many it were."""
    deleted = 0
    while deleted < rows:
        waiting = connection.execute("SELECT session FROM doomed LIMIT 1").fetchone()
        if waiting is None:
            break
        gone = _delete_oldest(connection, waiting[0], _LAST_TIME, rows - deleted)
        deleted += len(gone)
        if deleted < rows:
            connection.execute("DELETE FROM doomed WHERE session = ?", waiting)
    return deleted


def delete_rows(connection: sqlite3.Connection, key: int, until_ns: int, rows: int) -> int:
    """Delete up to `rows` of a session's oldest spans and log records; return how many it were.

    Args:
        connection: In a write transaction.
        key: The session's, or NO_SESSION.
        until_ns: Younger rows stay.
        rows: The most to delete.
    """
    gone = _delete_oldest(connection, key, until_ns, rows)
    if key != NO_SESSION:
        _subtract(connection, key, gone)
    return len(gone)


def delete_metrics(connection: sqlite3.Connection, until_ns: int, rows: int) -> int:
    """Delete up to `rows` of the oldest metrics, none younger than `until_ns`; return how many it were."""
    gone = connection.execute(
        "SELECT key, resource, scope FROM metrics WHERE time_ns <= ? ORDER BY time_ns LIMIT ?", (until_ns, rows)
    ).fetchall()
    connection.executemany("DELETE FROM metrics WHERE key = ?", [(key,) for key, _, _ in gone])
    _drop_uses(connection, [(resource, scope) for _, resource, scope in gone])
    return len(gone)


def _delete_oldest(connection: sqlite3.Connection, session: int, until_ns: int, rows: int) -> list[Sequence[Any]]:
    gone = connection.execute(_OLDEST_ROWS, {"session": session, "until": until_ns, "rows": rows}).fetchall()
    connection.executemany("DELETE FROM spans WHERE key = ?", [(row[1],) for row in gone if row[0] == 0])
    connection.executemany("DELETE FROM logs WHERE key = ?", [(row[1],) for row in gone if row[0] == 1])
    connection.executemany(
        "DELETE FROM traces WHERE key = ? AND NOT EXISTS (SELECT 1 FROM spans WHERE trace = traces.key)",
        {(row[7],) for row in gone if row[7] is not None},
    )
    _drop_uses(connection, [(row[4], row[5]) for row in gone])
    return gone


def _drop_uses(connection: sqlite3.Connection, pairs: Sequence[tuple[int, int]]) -> None:
    uses = Counter([resource for resource, _ in pairs])
    uses.update([scope for _, scope in pairs])
    shared.drop_uses(connection, uses)


def _subtract(connection: sqlite3.Connection, key: int, gone: Sequence[Sequence[Any]]) -> None:
    """Take deleted rows off their session's summary; a session without rows goes too."""
    first_ns = connection.execute(_FIRST_ROW, {"session": key}).fetchone()[0]
    if first_ns is None:
        doom(connection, key)
        return
    spans = [row[3] for row in gone if row[0] == 0]
    logs = [row[3] for row in gone if row[0] == 1]
    requests = [flags for flags in spans if flags & FLAG_REQUEST]
    connection.execute(
        "UPDATE sessions SET first_ns = ?, spans = spans - ?, requests = requests - ?, "
        "failed_requests = failed_requests - ?, statements = statements - ?, logs = logs - ?, "
        "error_logs = error_logs - ?, bytes = bytes - ? WHERE key = ?",
        (
            first_ns,
            len(spans),
            len(requests),
            sum(1 for flags in requests if flags & FLAG_ERROR),
            sum(1 for flags in spans if flags & FLAG_STATEMENT),
            len(logs),
            sum(1 for flags in logs if flags & FLAG_ERROR),
            sum(row[6] for row in gone),
            key,
        ),
    )
