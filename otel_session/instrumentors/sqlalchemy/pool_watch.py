"""One pool and what becomes of it: which connections are out, who waits, what was counted.

`Engine.dispose()` makes a new pool in the place of the old one, whose connections may still be out: both are one
watch, known by the engine's dialect, under one name.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from contextlib import suppress
from contextvars import Context
from time import time
from typing import Any, NamedTuple

from opentelemetry.context import get_current

from otel_session import attributes as names
from otel_session.instrumentors.sqlalchemy.places import Place
from otel_session.instrumentors.sqlalchemy.pool_names import Name
from otel_session.instrumentors.sqlalchemy.pool_state import state_of
from otel_session.instruments import Recorder

SLOW_WAIT_S = 1.0
LONG_USE_S = 10.0
"""From these on, a measurement is kept as an exemplar: it leads to the trace and the session."""


class Checkout:
    """One connection that is out, or somebody who waits for one. Lives as long as that lasts.

    Attributes:
        watch: Whose it is.
        since: When it was handed out, as `time.perf_counter()` says.
        proxy: A reference of SQLAlchemy's to what the application holds.
        variables: The context variables of who asked: everything else about him is read from these when it is asked.
        thread: His thread's identifier.
        opened_at: Where he asked, if that is wanted.
        late: Whether it was out before the watch began.
        alarmed: Whether the leak alarm has told of it.
        before: Another checkout of the same connection that may still be out (StaticPool).
    """

    # A default of the class would be looked for, each time it is read, in the class and its bases.
    __slots__ = ("alarmed", "before", "late", "opened_at", "proxy", "since", "thread", "variables", "watch")

    def __init__(self, watch: PoolWatch, thread: int, variables: Context | None) -> None:
        self.watch = watch
        self.thread = thread
        self.variables = variables
        self.since = 0.0
        self.proxy: weakref.ref[Any] | None = None
        self.opened_at: Place | None = None
        self.before: Checkout | None = None
        self.late = self.alarmed = False

    def record(self) -> Any:
        """The slot whose connection is out by this checkout; None when it has ended."""
        proxy = self.proxy() if self.proxy is not None else None
        return None if proxy is None else getattr(proxy, "_connection_record", None)


class PoolCounts(NamedTuple):
    """A watch as read: sums over the pool and those it took the place of, limits of the pool alone."""

    idle: int | None
    used: int
    pending: int
    most: int | None
    idle_most: int | None
    overflow: int | None


class Counted:
    """What happened to the pools of one name. Outlives them: a later pool of the name counts on.

    Attributes:
        timeouts: How often nobody gave a connection back in time.
        leaks: How often the leak alarm was raised.
    """

    timeouts = 0
    leaks = 0


class PoolWatch:
    """What is kept of a pool. Whoever marks the pool with it keeps it alive.

    Attributes:
        name: Its name in metrics.
        attributes: The same, as metric attributes.
        waiting: Those who ask for a connection and have none yet.
        out: Those who have one.
        counted: How often something happened, to all pools that had this name.
        postponed: Seconds that are yet to be counted as use.
    """

    def __init__(self, name: Name, counted: Counted, wait: Recorder, use: Recorder, create: Recorder) -> None:
        self._name, self.name = name, name.text
        self.counted = counted
        self.attributes = {names.POOL_NAME: self.name}
        self.wait, self.use, self._create = wait, use, create
        # Adding to and taking from a set is atomic; a lock would be held while the garbage collector returns leaks.
        self.waiting: set[Checkout] = set()
        self.out: set[Checkout] = set()
        self.postponed: deque[float] = deque(maxlen=1_000)
        self._lock = threading.RLock()
        self._engines: weakref.WeakSet[Any] = weakref.WeakSet()
        self._pools: weakref.WeakSet[Any] = weakref.WeakSet()
        self._inherited: weakref.WeakSet[Any] = weakref.WeakSet()
        self._forked_at = 0.0
        self._newest: weakref.ref[Any] | None = None

    def add_engine(self, engine: Any) -> None:
        """An engine whose pool this is."""
        with self._lock:
            self._engines.add(engine)

    def add_pool(self, pool: Any) -> None:
        """The pool, or one that took its place."""
        with self._lock:
            self._pools.add(pool)
            self._newest = weakref.ref(pool)

    def pools(self) -> list[Any]:
        """The pool and those it took the place of, as far as they are still there."""
        with self._lock:
            return list(self._pools)

    def engines(self) -> list[Any]:
        """The engines that are still there."""
        with self._lock:
            return list(self._engines)

    def waited(self, seconds: float) -> None:
        """Count how long somebody waited, and what was postponed."""
        notable = seconds >= SLOW_WAIT_S
        self.wait.add(seconds, get_current() if notable else None, notable=notable)
        self.count_postponed()

    def count_postponed(self) -> None:
        """Count what came back by the garbage collector."""
        with suppress(IndexError):  # another thread is at it
            while self.postponed:
                self.use.add(self.postponed.popleft())

    def used(self, checkout: Checkout, seconds: float) -> None:
        """Count how long somebody had a connection, where that is known."""
        if checkout.late:
            return
        if checkout.proxy is None or checkout.proxy() is None:
            # Returned by the garbage collector, which may run in the middle of an SDK instrument, under its lock.
            self.postponed.append(seconds)
            return
        context = checkout.variables.run(get_current) if checkout.variables is not None else None
        self.use.add(seconds, context, notable=seconds >= LONG_USE_S)

    def created(self, seconds: float) -> None:
        """Count how long a new connection took."""
        self._create.add(seconds, get_current(), notable=seconds >= SLOW_WAIT_S)

    def timed_out(self) -> None:
        """Count somebody who got none."""
        with self._lock:
            self.counted.timeouts += 1

    def raise_alarm(self, checkout: Checkout) -> bool:
        """Count a leak; False when another thread has done so."""
        with self._lock:
            if checkout.alarmed:
                return False
            checkout.alarmed = True
            self.counted.leaks += 1
            return True

    def still_out(self) -> dict[Checkout, Any]:
        """The checkouts that last, with their records; those that ended unseen are dropped (a shared connection's)."""
        found = {}
        for checkout in list(self.out):
            record = checkout.record()
            if record is not None:
                found[checkout] = record
            elif checkout.proxy is not None:
                self.drop(checkout)
        return found

    def drop(self, checkout: Checkout) -> None:
        """Forget a checkout, and who it was, without counting it."""
        self.out.discard(checkout)
        checkout.variables = None

    def counts(self) -> PoolCounts:
        """Read the pool, now."""
        current = {id(pool): pool for engine in self.engines() if (pool := getattr(engine, "pool", None)) is not None}
        newest = self._newest() if self._newest is not None else None
        if not current and newest is not None:
            current = {id(newest): newest}
        pools = {**{id(pool): pool for pool in self.pools() if pool not in self._inherited}, **current}
        out = _by_pool(self.still_out())
        inherited = {key for key, pool in pools.items() if pool in self._inherited}
        states = {
            key: state_of(pool, out.get(key, ()), self._forked_at if key in inherited else 0.0)
            for key, pool in pools.items()
        }
        limits = [states[key] for key in current]
        return PoolCounts(
            idle=_total(state.idle for state in states.values()),
            used=sum(
                # An inherited pool counts also what was out in the parent.
                max(0 if key in inherited else state.used or 0, len(out.get(key, ())))
                for key, state in states.items()
            ),
            pending=len(self.waiting),
            most=_total(state.most for state in limits),
            idle_most=_total(state.idle_most for state in limits),
            overflow=_total(state.overflow for state in states.values()),
        )

    def begin_anew(self) -> None:
        """In a forked child: what is out and who waits are the parent's, and so is what was counted."""
        self._lock = threading.RLock()
        for checkout in self.out | self.waiting:
            checkout.variables = None
        self.waiting, self.out = set(), set()
        self.postponed.clear()
        self._inherited, self._forked_at = self._pools.copy(), time()
        self.counted.timeouts = self.counted.leaks = 0


def _by_pool(out: dict[Checkout, Any]) -> dict[int, set[Any]]:
    found: dict[int, set[Any]] = {}
    for checkout, record in out.items():
        proxy = checkout.proxy() if checkout.proxy is not None else None
        found.setdefault(id(getattr(proxy, "_pool", None)), set()).add(record)
    return found


def _total(values: Any) -> int | None:
    """The sum; None when one of them is not known or has no limit."""
    found = list(values)
    return None if not found or None in found else sum(found)
