"""How much room the file takes, and how it gives some back."""

from __future__ import annotations

import sqlite3
import time

from otel_session._clock import monotonic
from otel_session.store._transaction import POLL_MS, patience, writing

_VACUUM_PAGES = 500
"""Free pages given back in one transaction."""
_CHECKPOINT_S, _READER_S = 1.0, 0.1
"""How long a checkpoint looks for a moment without other writers, and how long it waits for a reader."""


def file_bytes(connection: sqlite3.Connection) -> int:
    """Size of the file, in bytes, once its log is copied into it."""
    return page_count(connection) * _page_bytes(connection)


def used_bytes(connection: sqlite3.Connection) -> int:
    """Size of the file without its free pages, in bytes."""
    return (page_count(connection) - free_pages(connection)) * _page_bytes(connection)


def page_count(connection: sqlite3.Connection) -> int:
    """Number of pages in the file."""
    pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
    return pages


def free_pages(connection: sqlite3.Connection) -> int:
    """Number of pages in the file that hold nothing."""
    pages: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return pages


def vacuum(connection: sqlite3.Connection) -> None:
    """Cut some free pages off the file, in a transaction of its own."""
    with writing(connection):
        for _ in range(_VACUUM_PAGES):
            # One at a time: Python ends a statement without columns after its first step.
            connection.execute("PRAGMA incremental_vacuum(1)")


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Copy the write-ahead log into the file and cut it to nothing; False when a reader is in the way.

    For that, SQLite needs a moment without other writers; among busy ones it takes some looking for.
    """
    began = last_clear = monotonic()
    with patience(connection, POLL_MS):
        while True:
            hindered, frames, copied = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            now = monotonic()
            if not hindered or now - began > _CHECKPOINT_S:
                return True
            if copied == frames:  # no reader needs the log as it was: only a writer hinders
                last_clear = now
            if now - last_clear > _READER_S:
                return False
            time.sleep(0.001)


def _page_bytes(connection: sqlite3.Connection) -> int:
    page_bytes: int = connection.execute("PRAGMA page_size").fetchone()[0]
    return page_bytes
