"""Care for the SDK's periodic metric readers: after a fork, and at the end of the process.

The SDK restarts a reader's thread in a child and leaves the rest: a lock that the fork may have left taken (each later
export waits for ever) and the parent's connections (two processes talk on one). At the end it waits for 30 seconds.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from otel_session.exporters.otlp import renew_connections
from otel_session.wire import forks
from otel_session.wire.workers import Patience

_LEAST_S = 0.5
_LEAST_BETWEEN_LINES_S = 600.0


class _RareLogger(logging.Logger):
    """For an official client that writes several lines for each export that fails: one in ten minutes is passed on."""

    _last_s = float("-inf")

    def handle(self, record: logging.LogRecord) -> None:
        """Pass an error on, if the last one was long ago."""
        if record.levelno >= logging.ERROR and time.monotonic() - self._last_s > _LEAST_BETWEEN_LINES_S:
            self._last_s = time.monotonic()
            logging.getLogger("otel_session").warning("%s. Metrics are sent again later.", record.getMessage())


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
        if hasattr(client, "_logger"):
            client._logger = _RareLogger(__name__)
        forks.renew(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Collect, as the reader does; first the channel is made anew when it was the parent's."""
        if self._renew:
            self._renew = False
            _abandoned.append(self._reader._exporter._channel)
            self._reader._exporter._initialize_channel_and_stub()
        return self._collect(*args, **kwargs)

    def after_fork(self) -> None:
        """A lock that nobody holds, and connections of its own."""
        self._reader._export_lock = threading.Lock()
        exporter = self._reader._exporter
        renew_connections(exporter)
        self._renew = hasattr(exporter, "_initialize_channel_and_stub")

    def restart(self) -> None:
        """Start its thread again, in a child that Python was not told of."""
        self._reader._at_fork_reinit()

    def _end(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        limit_s = max(self._patience.left_s, _LEAST_S)
        self._shutdown(timeout_millis=min(timeout_millis, limit_s * 1e3), **kwargs)


_abandoned: list[Any] = []


def care_for(readers: list[Any], patience: Patience) -> list[CaredReader]:
    """Care for those readers that are the SDK's periodic ones and as expected."""
    names = ("_export_lock", "_exporter", "_collect", "_at_fork_reinit", "_set_collect_callback")
    return [
        CaredReader(reader, patience)
        for reader in readers
        if type(reader) is PeriodicExportingMetricReader and all(hasattr(reader, name) for name in names)
    ]
