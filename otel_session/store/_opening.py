"""From a path to a SQLite connection, for writing or for reading."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path

from otel_session._clock import monotonic
from otel_session.exceptions import StoreError
from otel_session.store._transaction import PATIENCE_S
from otel_session.store.schema import Found, create, identify

CACHE_KIB = 8 * 1024
"""Memory one connection may use for pages."""
_CREATING = threading.Lock()


def open_for_writing(path: Path, *, wal_bytes: int) -> sqlite3.Connection:
    """Open the store at `path`; make it, and the folders above it, where there is none.

    Args:
        path: An absolute path.
        wal_bytes: Size above which a commit copies the write-ahead log into the file, and to which it then shrinks.

    Raises:
        StoreError: The file is not a store this version can write.
        OSError: The file or its folder cannot be made.
        sqlite3.Error: SQLite cannot open or write it.
    """
    if path.is_dir():
        raise StoreError(f"{path} is a folder. Choose the path of a file in it.")
    _make_file(path)
    connection = _connect(path, "mode=rw")
    try:
        if identify(connection, path) is Found.EMPTY:
            # Both are written with the first page, so before any table.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            _use_wal(connection, path)
            create(connection, path)
        else:
            _use_wal(connection, path)
        _tune(connection, wal_bytes)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the store at `path` read-only; it is never made nor changed.

    Raises:
        StoreError: There is no file, or it is not a store this version can read.
        sqlite3.Error: SQLite cannot open or read it.
    """
    if not path.exists():
        raise StoreError(
            f"There is no telemetry store at {path}. Start the instrumented program first, or check the path."
        )
    if path.is_dir():
        raise StoreError(f"{path} is a folder. Choose the path of a file in it.")
    try:
        return _open_checked(path, "mode=ro")
    except sqlite3.OperationalError:
        # In a folder this user may not write, SQLite cannot set up the shared memory of a write-ahead log. Without
        # a log nobody is writing, and the file can be read as it lies there.
        if os.access(path.parent, os.W_OK) or Path(f"{path}-wal").exists():
            raise
        return _open_checked(path, "mode=ro&immutable=1")


def _open_checked(path: Path, options: str) -> sqlite3.Connection:
    connection = _connect(path, options)
    try:
        if identify(connection, path) is Found.EMPTY:
            raise StoreError(f"{path} is empty: no telemetry has been stored in it yet.")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.as_uri()}?{options}", uri=True, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
    )


def _make_file(path: Path) -> None:
    """Make an empty file that only its owner can read: telemetry is private.

    Only a file that was not there is opened: closing any handle of a file gives up all locks that this process
    holds on it, those of another connection too (https://www.sqlite.org/howtocorrupt.html, 2.2).
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _CREATING:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            pass


def _use_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Switch to a write-ahead log: readers and writers do not wait for each other.

    SQLite refuses at once while another process is looking at the file, whatever the busy time-out.
    """
    deadline = monotonic() + PATIENCE_S
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or monotonic() > deadline:
                raise
            time.sleep(0.002)
    if mode != "wal":
        raise StoreError(f"{path} lies on a disk that several programs cannot share. Choose a path on a local disk.")


def _tune(connection: sqlite3.Connection, wal_bytes: int) -> None:
    page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    for setting in (
        "synchronous = NORMAL",  # a killed process loses nothing; a power cut may lose the last moments
        f"cache_size = -{CACHE_KIB}",
        f"wal_autocheckpoint = {wal_bytes // page_bytes}",
        f"journal_size_limit = {wal_bytes}",
        "secure_delete = FAST",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {setting}")
