"""Connection pools: which are watched, from when they are made or first met until they are gone.

A pool keeps its watch on itself and on its engine's dialect, which the pools that `Engine.dispose()` makes share.
Several engines on one pool are one watch. Nothing is kept of a pool that is gone.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.pool import Pool

from otel_session import config, connections
from otel_session._guard import report
from otel_session.instrumentors.sqlalchemy import pool_hooks, pool_state
from otel_session.instrumentors.sqlalchemy.pool_hooks import MARK, PoolHooks
from otel_session.instrumentors.sqlalchemy.pool_ledger import Ledger
from otel_session.instrumentors.sqlalchemy.pool_metrics import PoolDurations, observe
from otel_session.instrumentors.sqlalchemy.pool_names import Names, base_name
from otel_session.instrumentors.sqlalchemy.pool_watch import PoolWatch
from otel_session.wire import forks

_log = logging.getLogger("otel_session")


class PoolWatcher:
    """All pools of the process that are watched. Begins when it is made.

    Args:
        scope: Of the metrics.
        tell: Hears of each connection that is made, or fails to be: see `pool_hooks.time_creation`.
        meter_provider: Another than the global one.
        logger_provider: Likewise.
    """

    def __init__(
        self, scope: str, tell: pool_hooks.Tell, meter_provider: Any = None, logger_provider: Any = None
    ) -> None:
        settings = config.active()
        self._tell = tell
        self._everything = False
        self._told: set[str] = set()
        self._names = Names()
        self._lock = threading.RLock()
        self._watches: weakref.WeakSet[PoolWatch] = weakref.WeakSet()
        self._dialects: weakref.WeakSet[Any] = weakref.WeakSet()
        self._durations = PoolDurations(scope, meter_provider)
        self._ledger = Ledger(self.watches, settings.pool_leak_s, scope, logger_provider)
        self._hooks = PoolHooks(self._meet, self._ledger, opened_at=settings.pool_opened_at)
        self._hooks.put_on()
        self._unobserve = observe(self.watches, self._ledger, scope, meter_provider)
        connections.add_ledger(self._ledger.held)
        forks.renew(self)

    def watches(self) -> list[PoolWatch]:
        """Every watch, ordered by name."""
        with self._lock:
            return sorted(self._watches, key=lambda watch: watch.name)

    def watch_everything(self) -> None:
        """Watch also the pools that nobody names: those that are there and those to come."""
        self._everything = True

    def before_each(self, look: Callable[[Any], None]) -> None:
        """Have a function called with a pool before a connection leaves it; it must not raise."""
        self._hooks.before_each(look)

    def watch(self, engine: Any) -> None:
        """Watch an engine's pool; a second call changes nothing.

        Raises:
            TypeError: The engine has no SQLAlchemy pool.
        """
        pool = check(engine)
        with self._lock:
            if not self._hooks.active:  # `end` was called meanwhile
                return
            known = getattr(pool, MARK, None) or engine.dialect.__dict__.get(MARK)
            watch = known or self._new(pool, engine)
            watch.add_engine(engine)
            self._mark(engine.dialect, watch)
            self._adopt(pool, watch)

    def take_in(self, proxies: Iterable[Any]) -> None:
        """Watch connections that were out before, of the pools that are watched."""
        for proxy in proxies:
            try:
                watch = getattr(proxy._pool, MARK, None)
                if watch is not None:
                    pool_hooks.late(watch, proxy)
            except Exception:
                report("PoolWatcher.take_in")

    def try_to_watch(self, engine: Any) -> None:
        """`watch`, for engines that nobody named: what cannot be watched is left alone, with one log line."""
        try:
            if getattr(engine, "pool", None) is not None:
                self.watch(engine)
        except Exception:
            report("PoolWatcher.watch")

    def end(self) -> None:
        """Take everything off again."""
        self._unobserve()
        connections.remove_ledger(self._ledger.held)
        with self._lock:
            self._hooks.take_off()
            for watch in self._watches:
                for checkout in list(watch.out):
                    pool_hooks.forget(checkout)
                for pool in watch.pools():
                    if hasattr(pool, MARK):
                        delattr(pool, MARK)
                    pool_hooks.untime_creation(pool)
            for dialect in self._dialects:
                dialect.__dict__.pop(MARK, None)
            self._watches.clear()
            self._dialects.clear()

    def after_fork(self) -> None:
        """In a child: the parent's connections are not ours."""
        self._lock = threading.RLock()
        for watch in list(self._watches):
            watch.begin_anew()

    def _meet(self, pool: Any) -> PoolWatch | None:
        """The watch of a pool that hands out a connection for the first time; None when it is not to be watched."""
        try:
            dialect = getattr(pool, "_dialect", None)
            watch: PoolWatch | None = getattr(dialect, "__dict__", {}).get(MARK)
            if watch is None and not self._everything:
                return None
            with self._lock:
                if not self._hooks.active:  # `end` was called meanwhile
                    return None
                watch = getattr(dialect, "__dict__", {}).get(MARK)
                if watch is None:
                    watch = self._new(pool)
                    if isinstance(dialect, Dialect):
                        self._mark(dialect, watch)
                self._adopt(pool, watch)
                return watch
        except Exception:
            report("PoolWatcher.meet")
            return None

    def _new(self, pool: Any, engine: Any = None) -> PoolWatch:
        watch = self._durations.watch(self._names.take(base_name(pool, engine)))
        self._watches.add(watch)
        return watch

    def _mark(self, dialect: Any, watch: PoolWatch) -> None:
        dialect.__dict__[MARK] = watch
        self._dialects.add(dialect)

    def _adopt(self, pool: Any, watch: PoolWatch) -> None:
        if hasattr(pool, MARK):
            return
        watch.add_pool(pool)
        setattr(pool, MARK, watch)
        pool_hooks.time_creation(pool, watch, self._tell)
        self._hooks.meet(type(pool))
        name = f"{type(pool).__module__}.{type(pool).__qualname__}"
        if not pool_state.is_known(pool) and name not in self._told:
            self._told.add(name)
            _log.warning(
                "otel-session does not know the pool class %s: its connections in use and its times are measured, not "
                "how many are idle nor its limits. A class made from QueuePool, or with methods checkedin(), "
                "checkedout() and size(), is known.",
                name,
            )


def check(engine: Any) -> Any:
    """The pool of an engine.

    Raises:
        TypeError: It is none of SQLAlchemy's.
    """
    pool = getattr(engine, "pool", None)
    if not isinstance(pool, Pool):
        raise TypeError(f"engine.pool is {pool!r}; expected a SQLAlchemy Pool. Give create_engine() a poolclass=.")
    return pool
