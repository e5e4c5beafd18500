"""Put wrappers on a dialect's `do_execute` methods, and take them off.

A wrapper on the engine's own dialect object costs a sixth of a pair of cursor events and is there on SQLAlchemy 1.4,
2.0 and 2.1, sync and async.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from otel_session.instrumentors.sqlalchemy.queries import QueryRecorder, Target

_MARK = "_otel_session_wrapped"
_MANY = "_otel_session_many"
_lock = threading.Lock()
_wrapped: weakref.WeakSet[Any] = weakref.WeakSet()


def wrap(dialect: Any, recorder: QueryRecorder) -> None:
    """Record what a dialect executes; a second call changes nothing."""
    if _MARK in dialect.__dict__:
        return
    with _lock:
        if _MARK in dialect.__dict__:
            return
        target = Target()
        made = {
            "do_execute": _execute(dialect.do_execute, target, recorder),
            "do_execute_no_params": _execute_no_params(dialect.do_execute_no_params, target, recorder),
            "do_executemany": _executemany(dialect.do_executemany, target, recorder),
        }
        before = {name: dialect.__dict__.get(name) for name in made}
        dialect.__dict__.update(made)
        dialect.__dict__[_MARK] = (made, before)
        _wrapped.add(dialect)


def unwrap_all() -> None:
    """Take all wrappers off; where somebody wrapped ours, it stays and does nothing (the recorder is inactive)."""
    with _lock:
        for dialect in list(_wrapped):
            _unwrap(dialect)
        _wrapped.clear()


def _unwrap(dialect: Any) -> None:
    made, before = dialect.__dict__.pop(_MARK, ({}, {}))
    for name, wrapper in made.items():
        if dialect.__dict__.get(name) is not wrapper:
            continue
        if before[name] is None:
            del dialect.__dict__[name]
        else:
            dialect.__dict__[name] = before[name]


def _execute(original: Callable[..., Any], target: Target, recorder: QueryRecorder) -> Callable[..., Any]:
    start, finish = recorder.start, recorder.finish

    def do_execute(cursor: Any, statement: str, parameters: Any, context: Any = None) -> Any:
        if getattr(context, _MANY, False):  # some dialects' do_executemany calls do_execute: one span, not two
            return original(cursor, statement, parameters, context)
        started = start(target, statement, context, 1)
        if started is None:
            return original(cursor, statement, parameters, context)
        try:
            result = original(cursor, statement, parameters, context)
        except BaseException as error:
            finish(started, context, error)
            raise
        finish(started, context, None)
        return result

    return do_execute


def _execute_no_params(original: Callable[..., Any], target: Target, recorder: QueryRecorder) -> Callable[..., Any]:
    def do_execute_no_params(cursor: Any, statement: str, context: Any = None) -> Any:
        started = recorder.start(target, statement, context, 1)
        if started is None:
            return original(cursor, statement, context)
        try:
            result = original(cursor, statement, context)
        except BaseException as error:
            recorder.finish(started, context, error)
            raise
        recorder.finish(started, context, None)
        return result

    return do_execute_no_params


def _executemany(original: Callable[..., Any], target: Target, recorder: QueryRecorder) -> Callable[..., Any]:
    def do_executemany(cursor: Any, statement: str, parameters: Any, context: Any = None) -> Any:
        sets = len(parameters) if hasattr(parameters, "__len__") else 1
        started = recorder.start(target, statement, context, sets)
        if started is None:
            return original(cursor, statement, parameters, context)
        if context is not None:
            context.__dict__[_MANY] = True
        try:
            result = original(cursor, statement, parameters, context)
        except BaseException as error:
            recorder.finish(started, context, error)
            raise
        finally:
            if context is not None:
                context.__dict__.pop(_MANY, None)
        recorder.finish(started, context, None)
        return result

    return do_executemany
