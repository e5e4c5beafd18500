"""The one store of this process, and what is said about it when it cannot keep something."""

from __future__ import annotations

import logging

from otel_session import config
from otel_session.store import TelemetryStore

_log = logging.getLogger("otel_session")
_stores: dict[str, TelemetryStore] = {}
_failing: set[str] = set()
_told: dict[str, object] = {}


def shared_store() -> TelemetryStore:
    """The store of the configuration in force, opened at its first use.

    Raises:
        StoreError: It cannot be opened; the message says what to do.
    """
    settings = config.active()
    path = str(settings.store_path)
    store = _stores.get(path)
    if store is None:
        # No lock, which a fork could leave taken: of two made at once, one is kept and the other closed.
        made = TelemetryStore(
            settings.store_path, max_bytes=settings.store_max_bytes, max_age_s=settings.store_max_age_s
        )
        store = _stores.setdefault(path, made)
        if store is not made:
            made.close()
    return store


def say_failing(what: str, error: Exception) -> None:
    """Say that the store cannot keep something: when that begins, and once for spans, log records and metrics."""
    problem, first = str(error), object()
    if _told.setdefault(problem, first) is first:
        _log.error("otel-session cannot keep telemetry: %s", problem)
    _failing.add(what)


def say_kept(what: str) -> None:
    """Say that the store keeps something again, if it could not before."""
    if what not in _failing:
        return
    _failing.discard(what)
    if not _failing:
        _told.clear()
        _log.warning("otel-session keeps telemetry again.")
