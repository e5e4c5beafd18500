"""One SQLite connection that several threads share and no forked child inherits."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from otel_session.exceptions import StoreError
from otel_session.store._errors import explain

_Opener = Callable[[Path], sqlite3.Connection]


class Handle:
    """Opens the file when it is needed, again after a fork, and again when the file was moved or deleted.

    Thread-safe: one thread at a time has the connection.
    """

    def __init__(self, path: str | os.PathLike[str], opener: _Opener) -> None:
        self.path = Path(os.path.abspath(path))
        self._opener = opener
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._busy = False
        self._closed = False
        with _registry.lock:
            _registry.handles.add(self)

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection for the block; what SQLite and the file system raise there becomes StoreError."""
        _registry.notice_fork()
        with self._lock:
            try:
                connection = self._open()
                self._busy = True
                yield connection
            except (sqlite3.Error, OSError) as error:
                raise explain(self.path, error) from error
            finally:
                self._busy = False
                if self._connection is not None and self._connection.in_transaction:
                    self.disconnect()  # a rollback that failed: SQLite undoes the rest when the file is opened again

    def close(self) -> None:
        """Close the connection for good; later use raises StoreError. Closing twice is allowed."""
        _registry.notice_fork()
        with self._lock:
            self._closed = True
            self.disconnect()

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError(f"The telemetry store at {self.path} was closed here.")
        if self._connection is not None and self._file == _file_at(self.path):
            return self._connection
        self.disconnect()
        self._connection = self._opener(self.path)
        self._file = _file_at(self.path)
        return self._connection

    def disconnect(self) -> None:
        """Close the connection; the next use opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def before_fork(self) -> None:
        """Wait until the connection is idle and close it: SQLite's locks do not survive a fork.

        See https://www.sqlite.org/howtocorrupt.html, 2.6.
        """
        self._lock.acquire()
        if not self._busy:
            self.disconnect()

    def after_fork_in_parent(self) -> None:
        """Let other threads go on."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Start anew. A connection is left only when the fork went past Python (a C server's), or in mid-use."""
        self._lock = threading.RLock()
        if self._busy and self._connection is not None:
            _registry.abandoned.append(self._connection)  # closing it would undo the parent's transaction
            self._connection, self._busy = None, False
        self.disconnect()


class _Registry:
    """All handles of this process, and those held during a fork."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pid = os.getpid()
        self.handles: weakref.WeakSet[Handle] = weakref.WeakSet()
        self.held: list[Handle] = []
        self.abandoned: list[sqlite3.Connection] = []

    def before_fork(self) -> None:
        self.lock.acquire()
        self.held = list(self.handles)
        for handle in self.held:
            handle.before_fork()

    def after_fork_in_parent(self) -> None:
        held, self.held = self.held, []
        for handle in held:
            handle.after_fork_in_parent()
        self.lock.release()

    def after_fork_in_child(self) -> None:
        self.lock = threading.Lock()
        self.held = []
        self._start_anew()

    def notice_fork(self) -> None:
        """Do what is to be done after a fork that ran no hooks."""
        if os.getpid() != self.pid:
            with self.lock:
                if os.getpid() != self.pid:
                    self._start_anew()

    def _start_anew(self) -> None:
        # All of them, before any is opened: SQLite takes one connection's locks on a file for the whole process's,
        # and an inherited connection has none.
        for handle in list(self.handles):
            handle.after_fork_in_child()
        self.pid = os.getpid()


def _file_at(path: Path) -> tuple[int, int] | None:
    """Identity of the file that is at `path` now: device and inode."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


_registry = _Registry()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_registry.before_fork,
        after_in_parent=_registry.after_fork_in_parent,
        after_in_child=_registry.after_fork_in_child,
    )
