"""Taking rows out, with all that only they needed: their traces, and the resource and scope bytes they name."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from otel_session.store import shared
from otel_session.store.activity import ROW_BYTES
from otel_session.store.records import FLAG_ERROR, FLAG_REQUEST, FLAG_STATEMENT
from otel_session.store.schema import NO_SESSION

FIRST_ROW = """
SELECT min(time) FROM (
    SELECT min(start_ns) AS time FROM spans WHERE session = :session
    UNION ALL SELECT min(time_ns) FROM logs WHERE session = :session)"""
"""Time of the first span or log record of `:session`; NULL when it has none."""

_KEPT = f"flags, resource, scope, length(body) + {ROW_BYTES}"
_OLDEST = f"""
SELECT * FROM (
    SELECT key, trace, {_KEPT}, start_ns AS time FROM spans
    WHERE session = :session AND start_ns <= :until ORDER BY start_ns LIMIT :rows)
UNION ALL SELECT * FROM (
    SELECT key, NULL, {_KEPT}, time_ns AS time FROM logs
    WHERE session = :session AND time_ns <= :until ORDER BY time_ns LIMIT :rows)
ORDER BY time LIMIT :rows"""  # noqa: S608 -- a constant only
# In the order of the rows' places in the file: each page is met once, whatever session its rows belong to.
_DOOMED = f"""
SELECT key, trace, {_KEPT} FROM spans WHERE key IN (
    SELECT key FROM spans WHERE session IN (SELECT session FROM doomed) ORDER BY key LIMIT :rows)
UNION ALL
SELECT key, NULL, {_KEPT} FROM logs WHERE key IN (
    SELECT key FROM logs WHERE session IN (SELECT session FROM doomed) ORDER BY key LIMIT :rows)"""  # noqa: S608 -- same


@dataclass(slots=True)
class Freed:
    """What was, or is about to be, deleted; `bytes` is an estimate."""

    rows: int
    bytes: int


def doom(connection: sqlite3.Connection, key: int) -> Freed:
    """Take a session out of every reader's sight; its rows follow, with `delete_doomed`."""
    spans, logs, size, resources = connection.execute(
        "SELECT spans, logs, bytes, resources FROM sessions WHERE key = ?", (key,)
    ).fetchone()
    shared.drop_uses(connection, Counter(map(int, resources.split())))
    connection.execute("DELETE FROM sessions WHERE key = ?", (key,))
    connection.execute("INSERT INTO doomed VALUES (?)", (key,))
    return Freed(spans + logs, size)


def delete_doomed(connection: sqlite3.Connection, rows: int) -> int:
    """Delete about `rows` rows of sessions that were taken out of sight; return how many it were."""
    gone = connection.execute(_DOOMED, {"rows": rows}).fetchall()
    _delete(connection, gone)
    if len(gone) < rows:
        connection.execute("DELETE FROM doomed")
    return len(gone)


def delete_rows(connection: sqlite3.Connection, key: int, until_ns: int, rows: int) -> Freed:
    """Delete a session's oldest spans and log records.

    Args:
        connection: In a write transaction.
        key: The session's, or NO_SESSION.
        until_ns: Younger rows stay.
        rows: The most to delete.
    """
    gone = connection.execute(_OLDEST, {"session": key, "until": until_ns, "rows": rows}).fetchall()
    _delete(connection, gone)
    if key != NO_SESSION:
        _subtract(connection, key, gone)
    return Freed(len(gone), sum(row[5] for row in gone))


def delete_metrics(connection: sqlite3.Connection, until_ns: int, rows: int) -> Freed:
    """Delete up to `rows` of the oldest metrics, none younger than `until_ns`."""
    gone = connection.execute(
        f"SELECT key, resource, scope, length(body) + {ROW_BYTES} FROM metrics "  # noqa: S608 -- a constant only
        "WHERE time_ns <= ? ORDER BY time_ns LIMIT ?",
        (until_ns, rows),
    ).fetchall()
    connection.executemany("DELETE FROM metrics WHERE key = ?", [(row[0],) for row in gone])
    _drop_uses(connection, [row[1:3] for row in gone])
    return Freed(len(gone), sum(row[3] for row in gone))


def _delete(connection: sqlite3.Connection, gone: Sequence[Sequence[Any]]) -> None:
    """Delete spans and log records; each row is key, trace (None: a log record), flags, resource, scope, bytes."""
    connection.executemany("DELETE FROM spans WHERE key = ?", [(row[0],) for row in gone if row[1] is not None])
    connection.executemany("DELETE FROM logs WHERE key = ?", [(row[0],) for row in gone if row[1] is None])
    connection.executemany(
        "DELETE FROM traces WHERE key = ? AND NOT EXISTS (SELECT 1 FROM spans WHERE trace = traces.key)",
        [(trace,) for trace in {row[1] for row in gone} if trace is not None],
    )
    _drop_uses(connection, [row[3:5] for row in gone])


def _drop_uses(connection: sqlite3.Connection, pairs: Sequence[Sequence[int]]) -> None:
    uses = Counter([resource for resource, _ in pairs])
    uses.update([scope for _, scope in pairs])
    shared.drop_uses(connection, uses)


def _subtract(connection: sqlite3.Connection, key: int, gone: Sequence[Sequence[Any]]) -> None:
    """Take deleted rows off their session's summary; a session without rows goes too."""
    first_ns = connection.execute(FIRST_ROW, {"session": key}).fetchone()[0]
    if first_ns is None:
        doom(connection, key)
        return
    spans = [row[2] for row in gone if row[1] is not None]
    logs = [row[2] for row in gone if row[1] is None]
    requests = [flags for flags in spans if flags & FLAG_REQUEST]
    connection.execute(
        "UPDATE sessions SET first_ns = ?, spans = spans - ?, requests = requests - ?, "
        "failed_requests = failed_requests - ?, statements = statements - ?, logs = logs - ?, "
        "error_logs = error_logs - ?, bytes = bytes - ? WHERE key = ?",
        (
            first_ns,
            len(spans),
            len(requests),
            _count(requests, FLAG_ERROR),
            _count(spans, FLAG_STATEMENT),
            len(logs),
            _count(logs, FLAG_ERROR),
            sum(row[5] for row in gone),
            key,
        ),
    )


def _count(flags: Sequence[int], wanted: int) -> int:
    return sum(1 for each in flags if each & wanted)
