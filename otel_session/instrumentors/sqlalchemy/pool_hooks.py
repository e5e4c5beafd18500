"""The methods by which a connection leaves a pool and comes back, with ours around them.

All are wrapped on their classes, so that pools made before are covered, and those that `Engine.dispose()` makes. No
event of SQLAlchemy's is listened to: it goes through its listeners while they are called, and one that comes or goes in
that moment is an error in the application. Nothing here raises.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from threading import get_ident
from time import time_ns
from typing import Any

from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import Pool, SingletonThreadPool, base

from otel_session._clock import perf_counter
from otel_session._guard import report
from otel_session.instrumentors.sqlalchemy.patches import Patches
from otel_session.instrumentors.sqlalchemy.places import current_place
from otel_session.instrumentors.sqlalchemy.pool_ledger import Ledger
from otel_session.instrumentors.sqlalchemy.pool_watch import LONG_USE_S, SLOW_WAIT_S, Checkout, PoolWatch

MARK = "_otel_session_pool"
"""Where a pool and a dialect keep their watch, and a record its checkout."""
_CREATOR = "_invoke_creator"
Tell = Callable[[Any, PoolWatch, int, Any, BaseException | None], None]


class PoolHooks:
    """Puts the wrappers on and takes them off.

    Args:
        find: Gives the watch of a pool met for the first time; None for one that is not ours.
        ledger: Asked to look for leaks now and then.
        opened_at: Whether to remember where a connection was asked for.
    """

    def __init__(self, find: Callable[[Any], PoolWatch | None], ledger: Ledger, *, opened_at: bool) -> None:
        self._find = find
        self._ledger = ledger
        self._opened_at = opened_at
        self._wrapped: dict[type, tuple[Any, Any]] = {}
        self._patches = Patches()
        self._before: Callable[[Any], None] | None = None
        self.active = False

    def before_each(self, look: Callable[[Any], None]) -> None:
        """Have a function called with the pool before a connection leaves it."""
        self._before = look

    def put_on(self) -> None:
        """Begin."""
        self.active = True
        for kind in (Pool, SingletonThreadPool):
            self._wrap(kind, self._connect(kind.__dict__["connect"]))
        self._patches.wrap(getattr(base, "_ConnectionRecord", None), "checkin", self._checkin)
        self._patches.wrap(getattr(base, "_ConnectionFairy", None), "detach", self._detach)

    def take_off(self) -> None:
        """Put back what was there. Where somebody has wrapped ours, it stays and only passes calls on."""
        self.active = False
        for kind, (original, ours) in self._wrapped.items():
            if kind.__dict__.get("connect") is ours:
                kind.connect = original  # type: ignore[attr-defined]
        self._wrapped.clear()
        self._patches.remove()
        self._before = None

    def meet(self, kind: type) -> None:
        """A class of pools: where it has a `connect` of its own, which need not call SQLAlchemy's, that is wrapped."""
        for one in kind.__mro__:
            own = one.__dict__.get("connect")
            if own is not None and one not in self._wrapped and issubclass(one, Pool):
                self._wrap(one, self._connect_of_others(own))

    def _wrap(self, kind: type, ours: Any) -> None:
        self._wrapped[kind] = kind.__dict__["connect"], ours
        kind.connect = ours  # type: ignore[attr-defined]

    def _connect(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        find, handed_out = self._find, self._handed_out

        def connect(pool: Any) -> Any:
            if self._before is not None:
                self._before(pool)
            watch = getattr(pool, MARK, None) or find(pool)
            if watch is None or not self.active:
                return original(pool)
            checkout = Checkout(watch, get_ident(), copy_context())
            waiting = watch.waiting
            waiting.add(checkout)
            start = perf_counter()
            try:
                proxy = original(pool)
            except PoolTimeoutError:
                waiting.discard(checkout)
                watch.timed_out()
                raise
            except BaseException:
                waiting.discard(checkout)
                raise
            waiting.discard(checkout)
            handed_out(checkout, proxy, start)
            return proxy

        return connect

    def _connect_of_others(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def connect(pool: Any) -> Any:
            if self._before is not None:
                self._before(pool)
            start = perf_counter()
            proxy = original(pool)
            watch = getattr(pool, MARK, None) or self._find(pool)
            if watch is not None and self.active:
                self._handed_out(Checkout(watch, get_ident(), copy_context()), proxy, start)
            return proxy

        return connect

    def _handed_out(self, checkout: Checkout, proxy: Any, start: float) -> None:
        try:
            record = proxy._connection_record
            checkout.proxy = record.fairy_ref
            before = getattr(record, MARK, None)
            if before is not None:
                if before.proxy is checkout.proxy:  # handed out again to who has it, or seen already
                    return
                checkout.before = _still_out(before)
            if self._opened_at:
                checkout.opened_at = current_place()
            watch = checkout.watch
            setattr(record, MARK, checkout)
            watch.out.add(checkout)
            now = checkout.since = perf_counter()
            if now - start >= SLOW_WAIT_S or watch.postponed:
                watch.waited(now - start)
            else:
                watch.wait.add(now - start)
            if not self.active:  # switched off meanwhile
                forget(checkout)
            elif now >= self._ledger.due:
                self._ledger.look()
        except Exception:
            report("PoolHooks.handed_out")

    def _checkin(self, original: Callable[..., Any]) -> Callable[..., Any]:
        given_back = self._given_back

        def checkin(record: Any, *args: Any, **kwargs: Any) -> Any:
            if record.fairy_ref is not None:  # else it is back already
                given_back(record)
            return original(record, *args, **kwargs)

        return checkin

    def _detach(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def detach(proxy: Any) -> Any:
            if proxy._connection_record is not None:
                self._given_back(proxy._connection_record)
            return original(proxy)

        return detach

    def _given_back(self, record: Any) -> None:
        """A connection is about to come back into its pool, or to leave it for good (`detach`)."""
        try:
            checkout = getattr(record, MARK, None)
            if checkout is None:
                return
            delattr(record, MARK)
            if checkout.before is not None and _shared(checkout):
                setattr(record, MARK, checkout)
                return
            watch = checkout.watch
            if checkout not in watch.out:  # the parent's, in a forked child
                return
            watch.out.discard(checkout)
            seconds = perf_counter() - checkout.since
            if seconds >= LONG_USE_S or checkout.late or checkout.proxy() is None:
                watch.used(checkout, seconds)
            else:
                watch.use.add(seconds)
        except Exception:
            report("PoolHooks.given_back")


def late(watch: PoolWatch, proxy: Any) -> None:
    """Take in a connection that was out before the watch began."""
    record = proxy._connection_record
    if record is None or record.fairy_ref is None or record.fairy_ref() is not proxy or hasattr(record, MARK):
        return
    checkout = Checkout(watch, 0, None)
    checkout.proxy, checkout.since, checkout.late = record.fairy_ref, perf_counter(), True
    setattr(record, MARK, checkout)
    watch.out.add(checkout)


def forget(checkout: Checkout) -> None:
    """Take a checkout off the record it is kept in."""
    record = checkout.record()
    if record is not None and getattr(record, MARK, None) is checkout:
        delattr(record, MARK)
    checkout.watch.drop(checkout)


def time_creation(pool: Any, watch: PoolWatch, tell: Tell) -> None:
    """Measure how long this pool's connections take to make, whatever makes them (`creator=`, a `do_connect` event).

    Args:
        pool: The pool.
        watch: Where it is counted.
        tell: Called with the pool, its watch, when it began (nanoseconds since the epoch), and the driver's connection
            and None, or None and the error.
    """
    original = getattr(pool, _CREATOR, None)
    if original is None:
        return

    def invoke_creator(record: Any) -> Any:
        start, start_ns = perf_counter(), time_ns()
        try:
            connection = original(record)
        except BaseException as error:
            tell(pool, watch, start_ns, None, error)
            raise
        try:
            watch.created(perf_counter() - start)
        except Exception:
            report("time_creation")
        tell(pool, watch, start_ns, connection, None)
        return connection

    invoke_creator._otel_session_original = original  # type: ignore[attr-defined]
    setattr(pool, _CREATOR, invoke_creator)


def untime_creation(pool: Any) -> None:
    """Undo `time_creation`, unless somebody has replaced it."""
    original = getattr(getattr(pool, _CREATOR, None), "_otel_session_original", None)
    if original is not None:
        setattr(pool, _CREATOR, original)


def _shared(checkout: Checkout) -> bool:
    """Whether another one may have the same connection still: which of them gave it back, the ledger finds out."""
    checkout.before = _still_out(checkout.before) if checkout.before is not None else None
    return checkout.before is not None


def _still_out(checkout: Checkout) -> Checkout | None:
    """The newest of those who share a connection that has it still."""
    found: Checkout | None = checkout
    while found is not None and found.record() is None:
        found.watch.drop(found)
        found = found.before
    return found
