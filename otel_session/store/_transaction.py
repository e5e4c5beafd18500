"""The write lock: how it is waited for, held and given back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from otel_session._clock import monotonic

PATIENCE_S = 10.0
"""How long a writer waits for the others before it gives up."""
POLL_MS = 3
"""How long one look for a lock takes."""


@contextmanager
def patience(connection: sqlite3.Connection, wait_ms: int) -> Iterator[None]:
    """Let statements wait `wait_ms` milliseconds for a lock, in place of PATIENCE_S."""
    connection.execute(f"PRAGMA busy_timeout = {wait_ms}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE_S * 1000)}")


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the file's write lock for the block: committed at its end, rolled back on any error.

    Raises:
        sqlite3.OperationalError: The lock was not to be had within PATIENCE_S ("database is locked").
    """
    _begin(connection)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _begin(connection: sqlite3.Connection) -> None:
    """Begin a write transaction, looking for the lock every one or two milliseconds.

    SQLite's own busy handler sleeps longer and longer, up to 100 ms: beside a writer that never pauses it would
    wait for seconds.
    """
    deadline = monotonic() + PATIENCE_S
    with patience(connection, POLL_MS):
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or monotonic() > deadline:
                    raise
