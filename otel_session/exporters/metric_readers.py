"""Care for the SDK's periodic metric readers: after a fork, and at the end of the process.

The SDK restarts a reader's thread in a child and leaves the rest: a lock that the fork may have left taken makes each
later export wait for ever. At the end it waits for 30 seconds.
"""

from __future__ import annotations

import functools
import importlib
import os
import threading
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader

from otel_session.wire import forks
from otel_session.wire.endings import Patience

_LEAST_S, _MOST_S = 0.5, 2.5
_COLLECTION_S = 1.0
_ENCODING = "otel_session.wire.metric_messages"


class _Collecting:
    """A fork waits until nobody collects: locks that a collection holds would stay taken in the child."""

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
        self._shutdown = reader.shutdown
        reader._set_collect_callback(self)
        reader.shutdown = functools.partial(self._end)
        forks.renew(self)

    @property
    def exporter(self) -> Any:
        """What it hands its collections to."""
        return self._reader._exporter

    @exporter.setter
    def exporter(self, exporter: MetricExporter) -> None:
        with self._reader._export_lock:  # an export under way is the former one's
            self._reader._exporter = exporter

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Collect, as the reader does."""
        with _collecting.lock:
            # What encodes the collection is imported here for the first time. In another place a fork might come in
            # the middle of it, and its import would be locked for ever in the child.
            if type(self.exporter).__module__.startswith("otel_session."):
                importlib.import_module(_ENCODING)
            return self._collect(*args, **kwargs)

    def after_fork(self) -> None:
        """Locks that nobody holds."""
        self._reader._export_lock = threading.Lock()
        self._reader._shutdown_event = threading.Event()

    def restart(self) -> None:
        """Start its thread again, in a child that Python was not told of."""
        self._reader._at_fork_reinit()

    def _end(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        limit_s = max(min(self._patience.left_s, _MOST_S), _LEAST_S)
        self._shutdown(timeout_millis=min(timeout_millis, limit_s * 1e3), **kwargs)


def care_for(readers: list[Any], patience: Patience) -> list[CaredReader]:
    """Care for those readers that are the SDK's periodic ones and as expected."""
    names = ("_export_lock", "_exporter", "_collect", "_at_fork_reinit", "_set_collect_callback", "_shutdown_event")
    return [
        CaredReader(reader, patience)
        for reader in readers
        if type(reader) is PeriodicExportingMetricReader and all(hasattr(reader, name) for name in names)
    ]
