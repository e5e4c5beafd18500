"""What a full store gives up next: always the oldest thing in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from otel_session.store.deletion import FIRST_ROW
from otel_session.store.schema import LARGE_BYTES, NO_SESSION

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
        large_bytes: A session above this size, and above LARGE_BYTES, is as old as its first row, and loses rows;
            any other is as old as its last activity.
    """
    found = sorted(_candidates(connection, large_bytes), key=lambda victim: victim.time_ns)
    if not found:
        return None
    first = found[0]
    next_ns = found[1].time_ns if len(found) > 1 else _LAST_TIME
    return replace(first, until_ns=min(max(next_ns, first.time_ns + _GRACE_NS), _LAST_TIME))


def _candidates(connection: sqlite3.Connection, large_bytes: int) -> Iterator[Victim]:
    for confirmed in (0, 1):
        row = connection.execute(
            "SELECT last_ns, key FROM sessions WHERE confirmed = ? ORDER BY last_ns LIMIT 1", (confirmed,)
        ).fetchone()
        if row is not None:
            yield Victim("session", *row)
    row = connection.execute(
        f"SELECT first_ns, key FROM sessions WHERE bytes > {LARGE_BYTES} AND bytes > ? "  # noqa: S608 -- a constant only
        "ORDER BY first_ns LIMIT 1",
        (large_bytes,),
    ).fetchone()
    if row is not None:
        yield Victim("rows", *row)
    loose = connection.execute(FIRST_ROW, {"session": NO_SESSION}).fetchone()[0]
    if loose is not None:
        yield Victim("rows", loose)
    metric = connection.execute("SELECT min(time_ns) FROM metrics").fetchone()[0]
    if metric is not None:
        yield Victim("metrics", metric)
