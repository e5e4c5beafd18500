"""What a connection pool says of itself, read without disturbing it.

Connections are counted, not slots: after `invalidate()` and `detach()` a queue holds a slot without a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any, NamedTuple

from sqlalchemy.pool import AssertionPool, NullPool, QueuePool, SingletonThreadPool, StaticPool

from otel_session._guard import report


class PoolState(NamedTuple):
    """What a pool says; None for what it does not know or has no limit for.

    Attributes:
        idle: Open connections that wait in it.
        used: Connections that are out, as the pool counts. Too few after `Pool.dispose()` while some are out.
        most: Connections it allows at a time.
        idle_most: Connections it keeps open at most.
        overflow: Connections beyond its size.
    """

    idle: int | None = None
    used: int | None = None
    most: int | None = None
    idle_most: int | None = None
    overflow: int | None = None


def state_of(pool: Any, out: Container[Any] = (), since: float = 0.0) -> PoolState:
    """Read a pool of any class.

    Args:
        pool: The pool.
        out: Records of it that are known to be out: a shared one does not always say so itself.
        since: When this process was forked, if it has the pool from its parent, in seconds since the epoch: what was
            connected before is the parent's, and not idle here.
    """
    for known, read in _READERS:
        if isinstance(pool, known):
            try:
                return read(pool, out, since)
            except Exception:  # a private name has moved, or the application made a class of its own from this one
                report("pool_state")
                break
    return PoolState(idle=_asked(pool, "checkedin"), used=_asked(pool, "checkedout"), idle_most=_asked(pool, "size"))


def is_known(pool: Any) -> bool:
    """Whether more can be read from this pool than who was handed its connections."""
    return isinstance(pool, tuple(known for known, _ in _READERS)) or _asked(pool, "checkedin") is not None


def is_open(record: Any, since: float = 0.0) -> bool:
    """Whether a slot of a pool has a connection, made since a time."""
    return getattr(record, "dbapi_connection", None) is not None and (not since or record.starttime >= since)


def _of_queue(pool: Any, _out: Container[Any], since: float) -> PoolState:
    size, most_overflow = pool.size(), pool._max_overflow
    return PoolState(
        idle=_idle_of_queue(pool, since),
        used=max(0, pool.checkedout()),
        most=size + most_overflow if most_overflow > -1 else None,
        idle_most=size or None,  # 0 stands for no limit
        overflow=max(0, pool.overflow()) if size else 0,
    )


def _idle_of_queue(pool: Any, since: float) -> int:
    queue = pool._pool
    # SQLAlchemy's own queue keeps them in `queue`, its adapter of asyncio's in `_queue._queue`.
    slots = getattr(queue, "queue", None)
    if slots is None:
        slots = getattr(queue.__dict__.get("_queue"), "_queue", None)
    return sum(1 for record in _snapshot(slots or ()) if is_open(record, since))


def _snapshot(slots: Iterable[Any]) -> list[Any]:
    for _ in range(10):
        try:
            return list(slots)
        except RuntimeError:  # another thread changed it; on CPython with its lock that cannot be
            continue
    return []


def _of_null(_pool: Any, _out: Container[Any], _since: float) -> PoolState:
    return PoolState(idle=0, idle_most=0)


def _of_static(pool: Any, out: Container[Any], since: float) -> PoolState:
    record = pool.__dict__.get("connection")
    return PoolState(idle=int(_is_idle(record, out, since)), most=1, idle_most=1)


def _of_assertion(pool: Any, _out: Container[Any], since: float) -> PoolState:
    return PoolState(idle=int(is_open(pool._conn, since) and not pool._checked_out), most=1, idle_most=1)


def _of_singleton_thread(pool: Any, out: Container[Any], since: float) -> PoolState:
    idle = [record for record in _snapshot(pool._all_conns) if _is_idle(record, out, since)]
    return PoolState(idle=len(idle), most=pool.size, idle_most=pool.size)


def _is_idle(record: Any, out: Container[Any], since: float) -> bool:
    return is_open(record, since) and getattr(record, "fairy_ref", None) is None and record not in out


def _asked(pool: Any, name: str) -> int | None:
    try:
        found = getattr(pool, name)()
    except Exception:  # there is no such method, or a class never seen means something else by it
        return None
    return found if isinstance(found, int) and found >= 0 else None


_READERS: tuple[tuple[type, Callable[[Any, Container[Any], float], PoolState]], ...] = (
    (QueuePool, _of_queue),  # and its asynchronous twin
    (NullPool, _of_null),
    (StaticPool, _of_static),
    (AssertionPool, _of_assertion),
    (SingletonThreadPool, _of_singleton_thread),
)
