"""Put wrappers on a dialect's `do_execute` methods, and take them off.

A wrapper on the engine's own dialect object costs a sixth of a pair of cursor events and is there on SQLAlchemy 1.4,
2.0 and 2.1, sync and async.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from otel_session.instrumentors.sqlalchemy import executing, transactions
from otel_session.instrumentors.sqlalchemy.executing import MANY, finishing
from otel_session.instrumentors.sqlalchemy.prepared import Target
from otel_session.instrumentors.sqlalchemy.queries import QueryRecorder

_MARK = "_otel_session_wrapped"
# Taken again by its own thread: garbage collection may close a leaked connection meanwhile, and wait under asyncio.
_lock = threading.RLock()
_wrapped: weakref.WeakSet[Any] = weakref.WeakSet()


class _Wrapping:
    """What was put on a dialect, by which recorder, and what was there before."""

    __slots__ = ("before", "made", "recorder", "target")

    def __init__(self, dialect: Any, recorder: QueryRecorder) -> None:
        self.recorder, self.target = recorder, Target()
        self.made: dict[str, Any] = {
            "do_execute": executing.around(dialect.do_execute, self.target, recorder),
            "do_execute_no_params": _execute_no_params(dialect.do_execute_no_params, self.target, recorder),
            "do_executemany": _executemany(dialect.do_executemany, self.target, recorder),
            **transactions.wrappers(dialect, self.target, recorder),
        }
        self.before = {name: dialect.__dict__[name] for name in self.made if name in dialect.__dict__}


def wrap(dialect: Any, recorder: QueryRecorder) -> None:
    """Record what a dialect executes; a second call changes nothing."""
    known = dialect.__dict__.get(_MARK)
    # Ours is gone from the dialect when a `mock.patch` begun before it has ended.
    if known is not None and known.recorder is recorder and "do_execute" in dialect.__dict__:
        return
    with _lock:
        if not recorder.active:
            return
        _unwrap(dialect)
        made = _Wrapping(dialect, recorder)
        dialect.__dict__.update(made.made)
        dialect.__dict__[_MARK] = made
        _wrapped.add(dialect)


def target_of(dialect: Any, recorder: QueryRecorder) -> Target | None:
    """The static part of a dialect that this recorder records; None for others."""
    known = dialect.__dict__.get(_MARK)
    return known.target if known is not None and known.recorder is recorder else None


def unwrap_all() -> None:
    """Take all wrappers off; where somebody wrapped ours, it stays and does nothing (the recorder is inactive)."""
    with _lock:
        for dialect in list(_wrapped):
            _unwrap(dialect)
        _wrapped.clear()


def _unwrap(dialect: Any) -> None:
    known = dialect.__dict__.pop(_MARK, None)
    if known is None:
        return
    for name, wrapper in known.made.items():
        if dialect.__dict__.get(name) is not wrapper:
            continue
        if name in known.before:
            dialect.__dict__[name] = known.before[name]
        else:
            del dialect.__dict__[name]


def _unlock_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_in_child)


def _execute_no_params(original: Callable[..., Any], target: Target, recorder: QueryRecorder) -> Callable[..., Any]:
    def do_execute_no_params(cursor: Any, statement: str, context: Any = None) -> Any:
        return finishing(recorder, recorder.start(target, statement, context), original, cursor, statement, context)

    return do_execute_no_params


def _executemany(original: Callable[..., Any], target: Target, recorder: QueryRecorder) -> Callable[..., Any]:
    def marked(cursor: Any, statement: str, parameters: Any, context: Any) -> Any:
        setattr(context, MANY, True)
        try:
            return original(cursor, statement, parameters, context)
        finally:
            setattr(context, MANY, False)

    def do_executemany(cursor: Any, statement: str, parameters: Any, context: Any = None) -> Any:
        sets = len(parameters) if hasattr(parameters, "__len__") else 1
        started = recorder.start(target, statement, context, sets)
        call = original if started is None else marked
        return finishing(recorder, started, call, cursor, statement, parameters, context)

    return do_executemany
