"""Keeping the file within its caps: a little after each write, or all at once."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from otel_session._clock import monotonic, time_ns
from otel_session.store._transaction import writing
from otel_session.store.deletion import delete_doomed, delete_metrics, delete_rows, doom
from otel_session.store.space import checkpoint, file_bytes, free_pages, page_count, used_bytes, vacuum
from otel_session.store.victims import Victim, oldest

_LOW_WATER = 0.95
"""A store that reached its cap is pruned to this share of it, so that the next writes find room."""
_HIGH_WATER = 1.05
"""A write that finds more than this share of the cap in use deletes on, for up to _LONGEST_S."""
_LARGE_SHARE = 0.5
"""A session above this share of the cap would push out all others: it loses its own oldest rows instead."""
_MIN_STEP_ROWS, _MAX_STEP_ROWS = 500, 4_000
"""Rows deleted in one transaction, about: some 30 ms. Each may cost the log a page or two: fewer for a small cap."""
_DOOMED_ROWS = 50_000
"""Rows of the sessions picked at once, about. The more are picked, the more of them share a page."""
_MIN_WAL_BYTES, _MAX_WAL_BYTES = 256 * 1024, 16 * 1024 * 1024
_TURN_S = 0.002
"""Long enough for a waiting writer to look for the lock."""
_LONGEST_S = 0.5
"""The longest a write goes on deleting, or shrinking, beyond its share."""
_CHECKPOINT_PAUSE_S = 1.0
"""When a reader is in the way, the next checkpoint comes so much later."""


class Pruner:
    """Two caps and what they ask for. Not thread-safe: its store lends it the connection, one thread at a time.

    Every writer deletes about twice what it has just written while the file is over its cap, instead of one process
    deleting for all: however many write, the file cannot outgrow them.
    """

    def __init__(self, *, max_bytes: int, max_age_s: float) -> None:
        if max_bytes < 0 or max_age_s < 0:
            raise ValueError(f"max_bytes is {max_bytes}, max_age_s is {max_age_s}; expected numbers from 0 on.")
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._high = max_bytes * _HIGH_WATER if max_bytes else math.inf
        self._shrinking = False
        self._next_age_check = 0.0
        self.wal_bytes = min(max(max_bytes // 16, _MIN_WAL_BYTES), _MAX_WAL_BYTES) if max_bytes else _MAX_WAL_BYTES
        self._next_checkpoint = 0.0
        self._step_rows = min(max(max_bytes // 16_384, _MIN_STEP_ROWS), _MAX_STEP_ROWS) if max_bytes else _MAX_STEP_ROWS

    def after_write(self, connection: sqlite3.Connection, path: Path, written: int) -> None:
        """Do the part of the work that falls to one write of `written` rows."""
        try:
            self._limit_wal(connection, path)
            if self._due(connection):
                self._pay(connection, path, max(2 * written, 1_000))
                self._shrink(connection)
                self._limit_wal(connection, path)
        except sqlite3.Error:
            # The rows are stored, and the caller must not write them again. What is wrong with the file (locked,
            # full, damaged) is told by the next write.
            pass

    def _pay(self, connection: sqlite3.Connection, path: Path, rows: int) -> None:
        """Delete about `rows` rows, and more above the high-water mark: a lowered cap takes several writes."""
        deadline = monotonic() + _LONGEST_S
        while rows > 0 or (used_bytes(connection) > self._high and monotonic() < deadline):
            deleted, _ = self._step(connection, min(max(rows, _MIN_STEP_ROWS), self._step_rows))
            if not deleted:
                break
            rows -= deleted
            self._limit_wal(connection, path)

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Cut a file that is above the high-water mark or mostly air; else free pages are for the next rows."""
        deadline = monotonic() + _LONGEST_S
        while (free := free_pages(connection)) and monotonic() < deadline:
            if file_bytes(connection) <= self._high and free <= page_count(connection) // 2:
                break
            vacuum(connection)

    def _limit_wal(self, connection: sqlite3.Connection, path: Path) -> None:
        """Cut the log when commits alone do not: beside another busy writer it never comes to its end."""
        if _wal_size(path) <= 2 * self.wal_bytes or monotonic() < self._next_checkpoint:
            return
        if not checkpoint(connection):
            self._next_checkpoint = monotonic() + _CHECKPOINT_PAUSE_S

    def run(self, lend: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> int:
        """Prune until both caps hold and the file has shrunk; return the number of sessions deleted.

        The connection is borrowed for each transaction anew: other threads, and a fork, need not wait for the end.
        """
        with lend() as connection:
            self._shrinking = self._over(connection)
        sessions, rows = 0, 1
        while rows:
            with lend() as connection:
                rows, more = self._step(connection, self._step_rows)
            sessions += more
            time.sleep(_TURN_S)
        free, before = 1, 0
        while free and free != before:
            with lend() as connection:
                vacuum(connection)
                free, before = free_pages(connection), free
            time.sleep(_TURN_S)
        with lend() as connection:
            checkpoint(connection)
        return sessions

    def _due(self, connection: sqlite3.Connection) -> bool:
        """Whether there may be something to delete."""
        self._shrinking = self._shrinking or self._over(connection)
        now = monotonic()
        if self._max_age_s and now >= self._next_age_check:
            self._next_age_check = now + min(60.0, self._max_age_s / 10)
            return True
        return self._shrinking

    def _over(self, connection: sqlite3.Connection) -> bool:
        return 0 < self._max_bytes < used_bytes(connection)

    def _step(self, connection: sqlite3.Connection, rows: int) -> tuple[int, int]:
        """Delete about `rows` rows in one transaction.

        Returns:
            Rows and sessions deleted; no rows when both caps hold.
        """
        with writing(connection):
            deleted, sessions = delete_doomed(connection, rows), 0
            if not deleted:
                deleted, sessions = self._choose(connection, rows)
        if deleted:
            self._next_age_check = 0.0  # more may be as old
        else:
            self._shrinking = False
        return deleted, sessions

    def _choose(self, connection: sqlite3.Connection, rows: int) -> tuple[int, int]:
        """Pick what must go and delete the first of it; return how many rows and sessions."""
        excess = used_bytes(connection) - int(self._max_bytes * _LOW_WATER) if self._shrinking else 0
        deleted = doomed = sessions = 0
        while deleted < rows and doomed < _DOOMED_ROWS:
            victim = oldest(connection, large_bytes=self._large_bytes)
            until_ns = None if victim is None else self._until(victim, excess)
            if victim is None or until_ns is None:
                break
            if victim.kind == "session":
                freed = doom(connection, victim.key)
                doomed += freed.rows
                sessions += 1
            else:
                if victim.kind == "rows":
                    freed = delete_rows(connection, victim.key, until_ns, rows - deleted)
                else:
                    freed = delete_metrics(connection, until_ns, rows - deleted)
                deleted += freed.rows
            excess -= freed.bytes
        if deleted < rows:
            deleted += delete_doomed(connection, rows - deleted)
        return deleted, sessions

    @property
    def _large_bytes(self) -> int:
        return int(self._max_bytes * _LARGE_SHARE) if self._max_bytes else 2**62

    def _until(self, victim: Victim, excess: int) -> int | None:
        """The age up to which the victim's rows must go, in nanoseconds since the epoch; None: all may stay."""
        if excess > 0:
            return victim.until_ns
        oldest_ns = time_ns() - int(self._max_age_s * 1e9)
        if self._max_age_s and victim.time_ns < oldest_ns:
            return min(victim.until_ns, oldest_ns)
        return None


def _wal_size(path: Path) -> int:
    try:
        return os.stat(f"{path}-wal").st_size
    except OSError:
        return 0
