"""Finding sessions by what is in their rows, for which the file has no columns: OTLP bytes searched in SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from otel_session.store.records import FLAG_REQUEST

_CHUNK = 500
"""Values in one statement: old builds of SQLite take 999."""
_WARN = 13
TROUBLED = "(failed_requests > 0 OR error_logs > 0)"


def sessions_requesting(
    connection: sqlite3.Connection, any_of: Sequence[bytes], min_ns: int, accept: Callable[[bytes], bool] | None
) -> set[str]:
    """Ids of the sessions with a request that took `min_ns`, holds one of the bytes and is accepted.

    Reads all spans once, in the order of the file.
    """
    holds = " OR ".join(["instr(body, ?)"] * len(any_of)) or "1"
    rows = connection.execute(
        f"SELECT session, {'body' if accept else 'NULL'} FROM spans "  # noqa: S608 -- marks only
        f"WHERE flags & {FLAG_REQUEST} AND session AND duration_ns >= ? AND ({holds})",
        [min_ns, *any_of],
    )
    found: set[int] = set()
    for key, body in rows:
        if key not in found and (accept is None or accept(body)):
            found.add(key)
    return set(_ids(connection, found))


def request_keys(connection: sqlite3.Connection, holding: bytes, limit: int) -> list[int]:
    """Keys of the newest requests whose bytes hold these."""
    rows = connection.execute(
        f"SELECT key FROM spans WHERE flags & {FLAG_REQUEST} AND instr(body, ?) ORDER BY key DESC LIMIT ?",  # noqa: S608 -- a constant only
        (holding, limit),
    )
    return [row[0] for row in rows]


def request_bodies(
    connection: sqlite3.Connection, session_ids: Collection[str], any_of: Sequence[bytes]
) -> Iterator[tuple[str, bytes]]:
    """Yield session id and bytes of these sessions' requests that hold one of the bytes, by time in each session."""
    holds = " OR ".join(["instr(body, ?)"] * len(any_of))
    for chunk in chunks(session_ids):
        yield from connection.execute(
            "SELECT session_id, body FROM sessions CROSS JOIN spans "  # noqa: S608 -- marks only
            "ON spans.session = sessions.key "
            f"WHERE session_id IN ({', '.join('?' * len(chunk))}) AND flags & {FLAG_REQUEST} AND ({holds})",
            [*chunk, *any_of],
        )


def log_kinds(connection: sqlite3.Connection, session_ids: Collection[str]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield session id and the columns of a LogKind, with the scope's key in place of its bytes."""
    for chunk in chunks(session_ids):
        for row in connection.execute(
            f"SELECT session_id, scope, event_name <> '', severity >= {_WARN}, count(*) "  # noqa: S608 -- marks only
            "FROM sessions CROSS JOIN logs ON logs.session = sessions.key "
            f"WHERE session_id IN ({', '.join('?' * len(chunk))}) GROUP BY 1, 2, 3, 4",
            chunk,
        ):
            yield row[0], (row[1], bool(row[2]), bool(row[3]), row[4])


def _ids(connection: sqlite3.Connection, keys: Iterable[int]) -> Iterator[str]:
    for chunk in chunks(keys):
        query = f"SELECT session_id FROM sessions WHERE key IN ({', '.join('?' * len(chunk))})"  # noqa: S608 -- marks only
        yield from (row[0] for row in connection.execute(query, chunk))


def chunks(values: Iterable[object]) -> Iterator[list[object]]:
    """Yield the values, a statement's worth at a time."""
    iterator = iter(values)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
