"""The ledger of all pools: who holds each connection now, and the alarm for those held for too long.

Who a holder is (session, correlation id, route, span) is read from his context variables when it is asked: a checkout
copies a reference to these, which costs nothing, and lets go of them when it ends.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import Context
from time import time_ns
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber, get_logger

from otel_session import attributes as names
from otel_session import context as here
from otel_session._clock import perf_counter
from otel_session._guard import guarded
from otel_session.connections import HeldConnection
from otel_session.instrumentors.sqlalchemy.places import place_of
from otel_session.instrumentors.sqlalchemy.pool_watch import Checkout, PoolWatch

_LOOKS_PER_THRESHOLD = 4
_MAX_FRAMES = 100
_EMPTY = otel_context.Context()


class Ledger:
    """Reads the watches. Safe from any thread.

    Attributes:
        due: When the next look for leaks is due, as `time.perf_counter()` says.
    """

    def __init__(
        self, watches: Callable[[], Iterable[PoolWatch]], leak_s: float, scope: str, logger_provider: Any = None
    ) -> None:
        self._watches = watches
        self._leak_s = leak_s
        self._scope = scope
        self._logger_provider = logger_provider
        self.due = 0.0

    def held(self, stacks: bool) -> list[HeldConnection]:
        """Every connection that is out now."""
        self.look()
        now, threads = perf_counter(), {thread.ident: thread.name for thread in threading.enumerate()}
        return [
            _held(checkout, now, threads.get(checkout.thread, ""), record, stacks)
            for watch in self._watches()
            for checkout, record in watch.still_out().items()
        ]

    def longest_s(self, watch: PoolWatch) -> float:
        """How long the connection that is out for the longest has been out, in seconds; 0 when none is."""
        now = perf_counter()
        return max((now - checkout.since for checkout in watch.still_out()), default=0.0)

    @guarded
    def look(self) -> None:
        """Raise the alarm for each connection held for longer than the threshold, once."""
        now = perf_counter()
        self.due = now + self._leak_s / _LOOKS_PER_THRESHOLD
        for watch in self._watches():
            for checkout in watch.still_out():
                held_s = now - checkout.since
                if held_s >= self._leak_s and watch.raise_alarm(checkout):
                    self._tell(checkout, held_s)

    @guarded
    def _tell(self, checkout: Checkout, held_s: float) -> None:
        context = _context_of(checkout)
        identity = here.current(context)
        route = _route(checkout.variables) or _route_of_span(trace.get_current_span(context))
        place = checkout.opened_at
        thread = {found.ident: found.name for found in threading.enumerate()}.get(checkout.thread)
        get_logger(self._scope, logger_provider=self._logger_provider).emit(
            timestamp=time_ns(),
            context=context,
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            event_name=names.EVENT_POOL_LEAK,
            attributes={
                **checkout.watch.attributes,
                names.POOL_HELD_S: round(held_s, 3),
                **({names.THREAD_NAME: thread} if thread else {}),
                **({names.HTTP_ROUTE: route} if route else {}),
                **(
                    {
                        names.CODE_FUNCTION_NAME: place.function,
                        names.CODE_FILE_PATH: place.path,
                        names.CODE_LINE_NUMBER: place.line,
                    }
                    if place
                    else {}
                ),
                **(identity.attributes if identity else {}),
            },
        )


def _held(checkout: Checkout, now: float, thread: str, record: Any, stacks: bool) -> HeldConnection:
    context = _context_of(checkout)
    identity = here.current(context)
    span = trace.get_current_span(context)
    known = span.get_span_context()
    stack = _stack_of(checkout.thread) if stacks and thread and not _is_async(record) else ()
    return HeldConnection(
        pool=checkout.watch.name,
        held_s=now - checkout.since,
        session_id=identity.session_id if identity else None,
        correlation_id=identity.correlation_id if identity else None,
        route=_route(checkout.variables) or _route_of_span(span),
        span_name=getattr(span, "name", None),
        trace_id=trace.format_trace_id(known.trace_id) if known.is_valid else None,
        span_id=trace.format_span_id(known.span_id) if known.is_valid else None,
        thread=thread,
        opened_at=str(checkout.opened_at) if checkout.opened_at else None,
        stack=stack,
        late=checkout.late,
        alarmed=checkout.alarmed,
    )


def _context_of(checkout: Checkout) -> otel_context.Context:
    variables = checkout.variables
    return _EMPTY if variables is None else variables.run(otel_context.get_current)


_FLASK = "flask."


def _route(variables: Context | None) -> str | None:
    """The route of Flask's request, without a need for Flask here: its context variables are known by their names."""
    for variable, value in variables.items() if variables is not None else ():
        if not variable.name.startswith(_FLASK):
            continue
        with suppress(Exception):  # no request is in it, or none that matched: each version of Flask says it its way
            request = value.request
            return str(request.script_root).rstrip("/") + str(request.url_rule.rule)
    return None


def _route_of_span(span: Any) -> str | None:
    found = (getattr(span, "attributes", None) or {}).get(names.HTTP_ROUTE)
    return str(found) if found else None


def _stack_of(thread: int) -> tuple[str, ...]:
    """What a thread does now, innermost call first; empty when it has ended."""
    frame = sys._current_frames().get(thread)
    found: list[str] = []
    while frame is not None and len(found) < _MAX_FRAMES:
        found.append(str(place_of(frame)))
        frame = frame.f_back
    return tuple(found)


def _is_async(record: Any) -> bool:
    # An asynchronous driver's connection is an adapter around the real one.
    return getattr(record, "driver_connection", None) is not getattr(record, "dbapi_connection", None)
