"""The sessions' summary rows, as they are listed and found."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from itertools import islice

from otel_session.store import shared
from otel_session.store._search import TROUBLED
from otel_session.store.records import SessionSummary

_SUMMARY = (
    "session_id, confirmed, min(first_ns, last_ns), last_ns, spans, requests, failed_requests, statements, logs, "
    "error_logs, resources FROM sessions"
)
_EARLIEST = -(2**63)


def newest(
    connection: sqlite3.Connection,
    limit: int,
    since_ns: int | None,
    among: Collection[str] | None,
    *,
    confirmed_only: bool,
    troubled_only: bool,
) -> list[SessionSummary]:
    """The sessions with the newest activity, newest first."""
    since = _EARLIEST if since_ns is None else since_ns
    # Two arms, each in the order of the index, are merged; one without the equation would be sorted.
    wanted = (1,) if confirmed_only else (1, 0)
    more = f" AND {TROUBLED}" if troubled_only else ""
    arms = [f"SELECT {_SUMMARY} WHERE confirmed = {confirmed} AND last_ns >= ?{more}" for confirmed in wanted]
    found = connection.execute(f"{' UNION ALL '.join(arms)} ORDER BY last_ns DESC", [since] * len(arms))
    rows = list(islice((row for row in found if among is None or row[0] in among), limit))
    found.close()
    resources = shared.read_values(connection, (int(key) for row in rows for key in row[-1].split()))
    return [
        SessionSummary(*(row[0], bool(row[1]), *row[2:-1], tuple(resources[int(key)] for key in row[-1].split())))
        for row in rows
    ]


def unconfirmed_count(
    connection: sqlite3.Connection, since_ns: int | None, among: Collection[str] | None, *, troubled_only: bool
) -> int:
    """How many clients never came back with their session id."""
    since = _EARLIEST if since_ns is None else since_ns
    where = "WHERE confirmed = 0 AND last_ns >= ?" + (f" AND {TROUBLED}" if troubled_only else "")
    if among is None:
        number: int = connection.execute(f"SELECT count(*) FROM sessions {where}", (since,)).fetchone()[0]  # noqa: S608 -- constants only
        return number
    query = f"SELECT session_id FROM sessions {where}"  # noqa: S608 -- constants only
    return sum(row[0] in among for row in connection.execute(query, (since,)))


def starting_with(connection: sqlite3.Connection, prefix: str) -> list[str]:
    """All session ids that start with `prefix`, in order."""
    prefix = prefix.encode("utf-8", "replace").decode()
    rows = connection.execute(
        "SELECT session_id FROM sessions WHERE session_id >= ? AND session_id < ? ORDER BY session_id",
        (prefix, prefix + "\U0010ffff"),
    ).fetchall()
    return [row[0] for row in rows]
