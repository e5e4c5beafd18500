"""The tables of the telemetry file, and the two numbers that tell it from other SQLite files."""

from __future__ import annotations

import sqlite3
from enum import Enum, auto
from pathlib import Path

from otel_session.exceptions import StoreError
from otel_session.store._transaction import writing

APPLICATION_ID = 0x4F545331
"""`PRAGMA application_id` of a telemetry file: "OTS1"."""
SCHEMA_VERSION = 1
"""`PRAGMA user_version`: raised when a reader of the former version could not read the tables."""
NO_SESSION = 0
"""Stands in `spans.session` and `logs.session` for telemetry without a session."""
LARGE_BYTES = 256 * 1024
"""Smaller sessions are never worth cutting."""
TRACE_BLOCK = 4096
"""Traces in one block of the index on trace ids."""

_TABLES = (
    # One row per session, kept up to date by every write; `bytes` is an estimate of what its rows take in the file,
    # `request_trace` the trace of its first request, `resources` keys of `shared`, oldest first, with blanks between.
    # Keys are never used again: rows of a deleted session may still wait for their deletion under the old one.
    """CREATE TABLE sessions (
        key INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL UNIQUE, confirmed INTEGER NOT NULL,
        first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, spans INTEGER NOT NULL, requests INTEGER NOT NULL,
        failed_requests INTEGER NOT NULL, statements INTEGER NOT NULL, logs INTEGER NOT NULL,
        error_logs INTEGER NOT NULL, bytes INTEGER NOT NULL, request_trace BLOB, resources TEXT NOT NULL)""",
    "CREATE INDEX sessions_newest ON sessions (confirmed, last_ns)",
    # Ordinary sessions are small; the few large ones must be found without reading all.
    f"CREATE INDEX sessions_large ON sessions (bytes) WHERE bytes > {LARGE_BYTES}",
    # Sessions that are gone for every reader, whose rows the pruning has yet to delete.
    "CREATE TABLE doomed (session INTEGER PRIMARY KEY)",
    # Resource and scope bytes, each once; `uses` counts the rows that name it, and at 0 it goes.
    "CREATE TABLE shared (key INTEGER PRIMARY KEY, value BLOB NOT NULL UNIQUE, uses INTEGER NOT NULL)",
    # One row per trace and batch. Trace ids are random: a plain index on them would change a page of the file per
    # row. Cut into blocks, each write changes the few pages of the last; a look-up asks each block in turn.
    "CREATE TABLE traces (key INTEGER PRIMARY KEY, trace_id BLOB NOT NULL)",
    f"CREATE INDEX traces_block ON traces (key / {TRACE_BLOCK}, trace_id)",
    """CREATE TABLE spans (
        key INTEGER PRIMARY KEY, session INTEGER NOT NULL, start_ns INTEGER NOT NULL, duration_ns INTEGER NOT NULL,
        flags INTEGER NOT NULL, trace INTEGER NOT NULL, span_id BLOB NOT NULL, parent_span_id BLOB NOT NULL,
        resource INTEGER NOT NULL, scope INTEGER NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL)""",
    "CREATE INDEX spans_session ON spans (session, start_ns)",
    "CREATE INDEX spans_trace ON spans (trace)",
    """CREATE TABLE logs (
        key INTEGER PRIMARY KEY, session INTEGER NOT NULL, time_ns INTEGER NOT NULL, severity INTEGER NOT NULL,
        flags INTEGER NOT NULL, trace_id BLOB NOT NULL, span_id BLOB NOT NULL,
        resource INTEGER NOT NULL, scope INTEGER NOT NULL, event_name TEXT NOT NULL, body BLOB NOT NULL)""",
    "CREATE INDEX logs_session ON logs (session, time_ns)",
    """CREATE TABLE metrics (
        key INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, resource INTEGER NOT NULL, scope INTEGER NOT NULL,
        name TEXT NOT NULL, body BLOB NOT NULL)""",
    "CREATE INDEX metrics_time ON metrics (time_ns)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class Found(Enum):
    """What a file turned out to be."""

    EMPTY = auto()
    STORE = auto()


def identify(connection: sqlite3.Connection, path: Path) -> Found:
    """Look at the file without changing it.

    Raises:
        StoreError: It is another program's database, or of another version of the store.
        sqlite3.DatabaseError: It is no SQLite database.
    """
    nested = connection.in_transaction
    if not nested:
        connection.execute("BEGIN")
    try:
        application, version, tables = (
            connection.execute(query).fetchone()[0]
            for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        )
    finally:
        if not nested:
            connection.execute("ROLLBACK")
    if application == 0 and version == 0 and tables == 0:
        return Found.EMPTY
    if application != APPLICATION_ID:
        raise StoreError(f"{path} is another program's SQLite database. Choose another path.")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} has store format {version}; this otel-session knows format {SCHEMA_VERSION}. "
            "Upgrade otel-session, or choose another path."
        )
    if version != SCHEMA_VERSION:
        raise StoreError(f"{path} has unknown store format {version}. Move it away or choose another path.")
    return Found.STORE


def create(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in one transaction, unless another process was quicker."""
    with writing(connection):
        if identify(connection, path) is Found.EMPTY:
            for statement in _TABLES:
                connection.execute(statement)
