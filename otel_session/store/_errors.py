"""What SQLite and the file system complain about, in words that say what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from otel_session.exceptions import StoreError

# SQLite's own words: its error codes reach Python only from 3.11 on, its texts have been the same for many years.
_ADVICE = (
    ("not a database", "{path} is no SQLite database, so no telemetry store. Move it away or choose another path."),
    (
        "malformed",
        "{path} is damaged (SQLite says: {error}). Move it away, with its -wal and -shm files; the next program that "
        "stores telemetry makes a new one.",
    ),
    ("is full", "{path} cannot grow: the disk is full. Free some space or lower the store's size limit."),
    (
        "locked",
        "{path} stayed locked by another program. Try again; if it lasts, find the program that holds the file open.",
    ),
    (
        "readonly",
        "{path} cannot be written: it, its folder or its disk is read-only for this user. Give write permission to "
        "the file and its folder, or choose another path.",
    ),
    (
        "unable to open",
        "{path} cannot be opened (SQLite says: {error}). Check that this user may read and write the file and its "
        "folder, or choose another path.",
    ),
    ("disk i/o error", "{path} cannot be read or written (SQLite says: {error}). Check the disk it lies on."),
)


def explain(path: Path, error: sqlite3.Error | OSError) -> StoreError:
    """Turn an error met at `path` into a StoreError that says what was seen and what to do."""
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return StoreError(f"{path} cannot be used as telemetry store: {reason}. Choose another path or mend this one.")
    seen = str(error)
    for words, advice in _ADVICE:
        if words in seen.lower():
            return StoreError(advice.format(path=path, error=seen))
    return StoreError(f"{path} cannot be used as telemetry store (SQLite says: {seen}). Choose another path.")
