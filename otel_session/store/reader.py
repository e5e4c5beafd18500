"""Reading a telemetry file, while others write to it or after all have gone."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from otel_session.store import _listing, _rows, _search, shared
from otel_session.store._handle import Handle
from otel_session.store._opening import open_for_reading
from otel_session.store.records import LogKind, LogRow, MetricRow, SessionSummary, SpanRow

_EARLIEST = -(2**63)


class StoreReader:
    """A read-only view of one telemetry file; it never makes nor changes it, and no writer waits for it.

    Each method answers from one moment's content. Thread-safe, and usable in forked children.

    Args:
        path: The file.

    Raises:
        StoreError: There is no file, or it cannot be read; the message says why and what to do. So for each method.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._handle = Handle(path, open_for_reading)
        with self._handle.use():
            pass

    def sessions(
        self,
        *,
        limit: int = 50,
        since_ns: int | None = None,
        confirmed_only: bool = True,
        troubled_only: bool = False,
        among: Collection[str] | None = None,
    ) -> list[SessionSummary]:
        """The sessions with the newest activity, newest first.

        Args:
            limit: The most to return.
            since_ns: Only those active at or after this time, in nanoseconds since the epoch.
            confirmed_only: Leave out clients that never came back with their session id.
            troubled_only: Only those with a failed request or an error log record.
            among: Only those with one of these ids.
        """
        with self._moment() as connection:
            return _listing.newest(
                connection, limit, since_ns, among, confirmed_only=confirmed_only, troubled_only=troubled_only
            )

    def unconfirmed_count(
        self, since_ns: int | None = None, *, troubled_only: bool = False, among: Collection[str] | None = None
    ) -> int:
        """How many clients never came back with their session id; the arguments narrow it as those of `sessions`."""
        with self._handle.use() as connection:
            return _listing.unconfirmed_count(connection, since_ns, among, troubled_only=troubled_only)

    def sessions_requesting(
        self, *, any_of: Sequence[bytes] = (), min_ns: int = 0, accept: Callable[[bytes], bool] | None = None
    ) -> set[str]:
        """Ids of the sessions with a request like this; all spans are read for it.

        Args:
            any_of: What its OTLP bytes hold one of.
            min_ns: What it took at least, in nanoseconds.
            accept: Asked with its OTLP bytes at the end, until it says yes for the session.
        """
        with self._moment() as connection:
            return _search.sessions_requesting(connection, any_of, min_ns, accept)

    def requests_holding(self, holding: bytes, *, limit: int = 1_000) -> list[SpanRow]:
        """The newest requests whose OTLP bytes hold these, of whatever session; all spans are read for it."""
        with self._moment() as connection:
            return _rows.spans_by_key(connection, _search.request_keys(connection, holding, limit))

    def request_bodies(self, session_ids: Collection[str], *, any_of: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
        """Yield session id and OTLP bytes of the sessions' requests that hold one of the bytes.

        The connection is the caller's until the last one was taken.
        """
        with self._moment() as connection:
            yield from _search.request_bodies(connection, session_ids, any_of)

    def log_kinds(self, session_ids: Collection[str]) -> list[tuple[str, LogKind]]:
        """How many log records of which kind each of the sessions has; those without any do not appear."""
        with self._moment() as connection:
            found = list(_search.log_kinds(connection, session_ids))
            scopes = shared.read_values(connection, (kind[0] for _, kind in found))
        return [(session_id, LogKind(scopes[kind[0]], *kind[1:])) for session_id, kind in found]

    def find(self, prefix: str) -> list[str]:
        """All session ids that start with `prefix`, confirmed or not, in order; an id equal to it is the first."""
        with self._handle.use() as connection:
            return _listing.starting_with(connection, prefix)

    def spans(self, session_id: str) -> list[SpanRow]:
        """The session's spans, by start time; none when the session is unknown."""
        with self._moment() as connection:
            return _rows.spans_of_session(connection, session_id)

    def trace(self, trace_id: bytes) -> list[SpanRow]:
        """The trace's spans, by start time, of whatever session; none when the trace is unknown."""
        with self._moment() as connection:
            return _rows.spans_of_trace(connection, trace_id)

    def logs(self, session_id: str) -> list[LogRow]:
        """The session's log records, by time; none when the session is unknown."""
        with self._moment() as connection:
            return _rows.logs_of_session(connection, session_id)

    def metrics(self, *, name: str | None = None, since_ns: int | None = None) -> list[MetricRow]:
        """Metrics by time of collection, those called `name` only if given, from `since_ns` on."""
        with self._moment() as connection:
            return _rows.metrics_since(connection, name, _EARLIEST if since_ns is None else since_ns)

    def counts(self) -> dict[str, int]:
        """What the store holds: `sessions` (confirmed), `unconfirmed`, `spans`, `logs` and `metrics`."""
        with self._handle.use() as connection:
            return _rows.counts(connection)

    def close(self) -> None:
        """Close the file; closing twice is allowed."""
        self._handle.close()

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _moment(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection; all statements of the block see one moment's content."""
        with self._handle.use() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
