"""Writing: many rows in one transaction, from any thread, process or forked child."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence
from types import TracebackType

from otel_session.store import shared
from otel_session.store._clamp import clamped
from otel_session.store._handle import Handle
from otel_session.store._opening import open_for_writing
from otel_session.store._transaction import writing
from otel_session.store.activity import Activity, collect
from otel_session.store.prune import Pruner
from otel_session.store.records import LogRow, MetricRow, SpanRow
from otel_session.store.summaries import save

_SPAN = "INSERT INTO spans VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LOG = "INSERT INTO logs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_METRIC = "INSERT INTO metrics VALUES (NULL, ?, ?, ?, ?, ?)"


class TelemetryStore:
    """One SQLite file that takes telemetry rows and stays within its caps.

    The file is made, readable for its owner only, when it is not there. Several threads, processes and forked
    children may write to it at once; each write is all or nothing, and a killed process loses none that returned.

    Args:
        path: The file.
        max_bytes: Size the file is kept under. Under load, file and write-ahead log together stay below 1.05 ×
            `max_bytes`, plus a log of `max_bytes` / 8 (at least 512 KiB, at most 32 MiB), plus what the writers'
            latest batches take in both. A reader that rests in the middle of reading lets the log grow meanwhile.
            0 keeps everything.
        max_age_s: Sessions without activity for so many seconds are deleted, and so is older telemetry without a
            session. 0 keeps everything.

    Raises:
        StoreError: The file cannot be opened or made; the message says why and what to do.
        ValueError: A cap is negative.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_bytes: int, max_age_s: float) -> None:
        self._pruner = Pruner(max_bytes=max_bytes, max_age_s=max_age_s)
        wal_bytes = self._pruner.wal_bytes
        self._handle = Handle(path, lambda path: open_for_writing(path, wal_bytes=wal_bytes))
        with self._handle.use():
            pass

    def write(
        self, *, spans: Sequence[SpanRow] = (), logs: Sequence[LogRow] = (), metrics: Sequence[MetricRow] = ()
    ) -> None:
        """Store the rows and bring their sessions' summaries up to date, in one transaction.

        What this write puts over the caps is deleted before it returns; that costs about as much again.

        Raises:
            StoreError: Nothing of it was stored: the disk is full, the file is damaged or was locked for ten
                seconds. A later write may succeed.
        """
        if not (spans or logs or metrics):
            return
        with self._handle.use() as connection:
            try:
                _write(connection, spans, logs, metrics)
            except (OverflowError, UnicodeEncodeError):
                _write(connection, *map(clamped, (spans, logs, metrics)))  # type: ignore[arg-type]
            self._pruner.after_write(connection, self._handle.path, len(spans) + len(logs) + len(metrics))

    def prune(self) -> int:
        """Delete until both caps hold, then shrink the file and its write-ahead log.

        Whole sessions go, those with the oldest last activity first; metrics, telemetry without a session and the
        rows of a session that takes more than half of `max_bytes` go by their own age. Other writers, threads of
        this process too, get their turn in between.

        Returns:
            Number of sessions deleted.

        Raises:
            StoreError: The file cannot be written.
        """
        return self._pruner.run(self._handle.use)

    def close(self) -> None:
        """Close the file; closing twice is allowed."""
        self._handle.close()

    def __enter__(self) -> TelemetryStore:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _write(
    connection: sqlite3.Connection, spans: Sequence[SpanRow], logs: Sequence[LogRow], metrics: Sequence[MetricRow]
) -> None:
    # Whatever can be worked out before is: the write lock is for one writer at a time.
    activities = collect(spans, logs)
    uses = Counter([row.resource for rows in (spans, logs, metrics) for row in rows])
    uses.update([row.scope for rows in (spans, logs, metrics) for row in rows])
    with writing(connection):
        keys = shared.keys_of(connection, uses)
        named = save(connection, activities, keys)
        named.update({keys[value]: count for value, count in uses.items()})
        shared.add_uses(connection, named)
        _insert_spans(connection, spans, activities, keys)
        connection.executemany(_LOG, [_log_columns(row, activities, keys) for row in logs])
        connection.executemany(
            _METRIC, [(row.time_ns, keys[row.resource], keys[row.scope], row.name, row.body) for row in metrics]
        )


def _insert_spans(
    connection: sqlite3.Connection,
    spans: Sequence[SpanRow],
    activities: dict[str | None, Activity],
    keys: dict[bytes, int],
) -> None:
    traces = _add_traces(connection, {row.trace_id for row in spans})
    connection.executemany(
        _SPAN,
        [
            (
                activities[row.session_id].key,
                row.start_ns,
                row.end_ns - row.start_ns,
                row.flags,
                traces[row.trace_id],
                row.span_id,
                row.parent_span_id,
                keys[row.resource],
                keys[row.scope],
                row.name,
                row.body,
            )
            for row in spans
        ],
    )


def _log_columns(row: LogRow, activities: dict[str | None, Activity], keys: dict[bytes, int]) -> tuple[object, ...]:
    return (
        activities[row.session_id].key,
        row.time_ns,
        row.severity,
        row.flags,
        row.trace_id,
        row.span_id,
        keys[row.resource],
        keys[row.scope],
        row.event_name,
        row.body,
    )


def _add_traces(connection: sqlite3.Connection, trace_ids: Collection[bytes]) -> dict[bytes, int]:
    """Add a row for each trace of the batch and return their keys.

    A trace whose spans come in several batches has several rows: looking for the former ones would cost more.
    """
    last = connection.execute("SELECT max(key) FROM traces").fetchone()[0] or 0
    keys = {trace_id: key for key, trace_id in enumerate(trace_ids, last + 1)}
    connection.executemany("INSERT INTO traces VALUES (?, ?)", [(key, trace_id) for trace_id, key in keys.items()])
    return keys
