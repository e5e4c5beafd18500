"""Care for the SDK's periodic metric readers: after a fork, and at the end of the process.

The SDK restarts a reader's thread in a child and leaves the rest: a lock that the fork may have left taken (each later
export waits for ever) and the parent's connections (two processes talk on one). At the end it waits for 30 seconds.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from otel_session.exporters.otlp import Attempts, renew_connections
from otel_session.wire import forks
from otel_session.wire.workers import Patience, is_end_of_process

_LEAST_S, _MOST_S = 0.5, 2.5
_COLLECTION_S = 1.0
_CLIENT = ("_logger", "_transport", "_shutdown_event", "_timeout")
_LEAST_BETWEEN_LINES_S = 600.0


class _RareLogger(logging.Logger):
    """For an official client that writes several lines for each export that fails: one in ten minutes is passed on."""

    _last_s = float("-inf")

    def handle(self, record: logging.LogRecord) -> None:
        """Pass an error on, if the last one was long ago."""
        if record.levelno >= logging.ERROR and time.monotonic() - self._last_s > _LEAST_BETWEEN_LINES_S:
            self._last_s = time.monotonic()
            logging.getLogger("otel_session").warning("%s Metrics are sent again later.", record.getMessage())


class _Collecting:
    """A fork waits until nobody collects: the SDK's locks, which a collection holds, would stay taken in the child."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._held = False

    def before_fork(self) -> None:
        """Wait for a collection under way; one that takes long is not waited for."""
        self._held = self.lock.acquire(timeout=_COLLECTION_S)

    def after_fork_in_parent(self) -> None:
        """Let collections go on."""
        if self._held:
            self._held = False
            self.lock.release()

    def after_fork_in_child(self) -> None:
        """A lock that nobody holds."""
        self.lock, self._held = threading.RLock(), False


_collecting = _Collecting()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_collecting.before_fork,
        after_in_parent=_collecting.after_fork_in_parent,
        after_in_child=_collecting.after_fork_in_child,
    )


class CaredReader:
    """One reader. Exists as long as the reader does."""

    def __init__(self, reader: Any, patience: Patience) -> None:
        self._reader = reader
        self._patience = patience
        self._collect: Callable[..., Any] = reader._collect
        self._renew = False
        self._shutdown = reader.shutdown
        reader._set_collect_callback(self)
        reader.shutdown = functools.partial(self._end)
        client: Any = getattr(reader._exporter, "_client", None)
        self._client = client if all(hasattr(client, name) for name in _CLIENT) else None
        self._ends = False
        if self._client is not None:
            client._logger = _RareLogger(__name__)
            client._transport = attempts = Attempts(client._transport)
            attempts.trouble = self._hear
        forks.renew(self)

    def _hear(self, _: Any) -> None:
        if self._client is not None and (self._ends or is_end_of_process()):  # there is no time to try again
            self._client._shutdown_event.set()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Collect, as the reader does; first the channel is made anew when it was the parent's."""
        if self._renew:
            self._renew = False
            _abandoned.append(self._reader._exporter._channel)
            self._reader._exporter._initialize_channel_and_stub()
        with _collecting.lock:
            return self._collect(*args, **kwargs)

    def after_fork(self) -> None:
        """Locks that nobody holds, and connections of its own."""
        self._reader._export_lock = threading.Lock()
        self._reader._shutdown_event = threading.Event()
        exporter = self._reader._exporter
        if self._client is not None:
            self._client._shutdown_event = threading.Event()
        renew_connections(exporter)
        self._renew = hasattr(exporter, "_initialize_channel_and_stub")

    def restart(self) -> None:
        """Start its thread again, in a child that Python was not told of."""
        self._reader._at_fork_reinit()

    def _end(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self._ends = True
        limit_s = max(min(self._patience.left_s, _MOST_S), _LEAST_S)
        if self._client is not None:
            self._client._timeout = min(self._client._timeout, limit_s)
            if self._client._transport.failing:
                self._client._shutdown_event.set()  # one attempt more, and no wait for another
        self._shutdown(timeout_millis=min(timeout_millis, limit_s * 1e3), **kwargs)


_abandoned: list[Any] = []


def care_for(readers: list[Any], patience: Patience) -> list[CaredReader]:
    """Care for those readers that are the SDK's periodic ones and as expected."""
    names = ("_export_lock", "_exporter", "_collect", "_at_fork_reinit", "_set_collect_callback", "_shutdown_event")
    return [
        CaredReader(reader, patience)
        for reader in readers
        if type(reader) is PeriodicExportingMetricReader and all(hasattr(reader, name) for name in names)
    ]
