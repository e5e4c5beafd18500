"""`do_execute` with ours around it: what nearly all statements need, in one function.

Each further call and object among the application's own work costs about a microsecond, for each statement. What is
not ordinary goes through `QueryRecorder.start` and `finish`, which tell the same of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import time_ns
from typing import Any

from otel_session import context as here
from otel_session._guard import report
from otel_session.instrumentors.sqlalchemy.prepared import Target
from otel_session.instrumentors.sqlalchemy.queries import ASIDE, OFFICIAL, SLOW_NS, QueryRecorder, Started
from otel_session.instrumentors.sqlalchemy.units import KEY
from otel_session.tallies import WAITING_MOST, Series
from otel_session.wire.entries import Dropped, EntrySpan

MANY = "_otel_session_many"
"""On an execution context whose `do_executemany` is recorded: it may call `do_execute`, and is one span."""


def around(original: Callable[..., Any], target: Target, recorder: QueryRecorder) -> Callable[..., Any]:
    """A dialect's `do_execute`, recorded."""
    write, writes = recorder.write, recorder.writer.writes
    modules, span_key, get_current = sys.modules, here.SPAN, here.get_current

    def do_execute(cursor: Any, statement: str, parameters: Any, context: Any = None) -> Any:
        if context is None or getattr(context, MANY, False):
            return original(cursor, statement, parameters, context)
        current: Any
        prepared: Any
        above: Any = None
        unit: Any = None
        ordinary = False
        try:
            current = get_current()
            prepared = target.young.get(statement)
            parent: Any = current.get(span_key)
            kind = type(parent)
            if (
                (kind is Dropped or (kind is EntrySpan and parent._end_time is None and writes()))
                and prepared is not None
                and type(prepared.series) is Series
                and recorder.active
                and ASIDE.isdisjoint(current)
                and OFFICIAL not in modules
            ):
                ordinary = True
                unit = getattr(context.root_connection, KEY, None)
                if unit is not None:
                    unit.statements += 1
                if kind is EntrySpan:
                    above = parent._context
                    if unit is not None:
                        if parent is unit.ambient:
                            above = unit.known or above
                        else:
                            unit.used_under(parent)
        except Exception:
            report("do_execute: start")
        if not ordinary:
            started = recorder.start(target, statement, context)
            return finishing(recorder, started, original, cursor, statement, parameters, context)
        start_ns = time_ns()
        try:
            result = original(cursor, statement, parameters, context)
        except BaseException as error:
            recorder.finish(Started(prepared, current, above, start_ns, 1, unit), context, error)
            raise
        took_ns = time_ns() - start_ns
        if took_ns >= SLOW_NS:
            recorder.finish(Started(prepared, current, above, start_ns, 1, unit), context)
            return result
        try:
            if unit is not None:
                unit.busy_ns += took_ns
            if above is not None:
                write(prepared, current, above, start_ns, start_ns + took_ns)
            series = prepared.series
            waiting = series.waiting
            waiting.append(took_ns / 1e9)
            if len(waiting) >= WAITING_MOST:
                series.settle()
        except Exception:
            report("do_execute: end")
        return result

    return do_execute


def finishing(recorder: QueryRecorder, started: Started | None, call: Callable[..., Any], *args: Any) -> Any:
    """Call the driver, and end the statement with it; only call it where `started` is None.

    Args:
        recorder: What has started it.
        started: What it gave.
        call: What calls the driver.
        args: Its arguments; the last is the execution context.
    """
    if started is None:
        return call(*args)
    try:
        result = call(*args)
    except BaseException as error:
        recorder.finish(started, args[-1], error)
        raise
    recorder.finish(started, args[-1])
    return result
