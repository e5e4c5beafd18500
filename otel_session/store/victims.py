"""What a full store gives up next: always the oldest thing in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from otel_session.store.deletion import FIRST_ROW
from otel_session.store.schema import NO_SESSION

_GRACE_NS = 1_000_000_000
"""Rows within one second of the oldest are as old as it: fewer, larger steps."""
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
    loose = connection.execute(FIRST_ROW, {"session": NO_SESSION}).fetchone()[0]
    if loose is not None:
        yield Victim("rows", loose)
    metric = connection.execute("SELECT min(time_ns) FROM metrics").fetchone()[0]
    if metric is not None:
        yield Victim("metrics", metric)
