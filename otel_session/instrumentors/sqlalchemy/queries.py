"""One CLIENT span and one duration for each statement that an engine sends (feature F2, first half).

A wrapped `do_execute` times the driver's call alone and sees the driver's own exception. Semantic conventions:
database client spans and metrics.
"""

from __future__ import annotations

import sys
from time import time_ns
from typing import Any

from opentelemetry import trace
from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY as SUPPRESSED,
)  # what utils.suppress_instrumentation sets
from opentelemetry.context import Context, get_current
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_session import attributes as names
from otel_session import context as here
from otel_session import failures
from otel_session._guard import report
from otel_session.instrumentors._base import DropRule
from otel_session.instrumentors.sqlalchemy.prepared import Prepared, Target
from otel_session.instruments import Measured
from otel_session.tallies import Metric
from otel_session.wire import encode_attributes
from otel_session.wire.leaves import SpanWriter

SCOPE = "otel_session.sqlalchemy"
FAILED = "_otel_session_failed"
"""On an execution context: the `id()` of the exception that its statement was recorded with."""
_DURATION = Metric(
    SCOPE,
    names.METRIC_DB_CLIENT_OPERATION_DURATION,
    "s",
    "Duration of database client operations.",
    (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0),  # advised by semconv
)
_SLOW_S = 0.1
"""A statement that takes longer is kept as an exemplar, and so is one that failed."""
_OFFICIAL = "opentelemetry.instrumentation.sqlalchemy"
_SUPPRESSED_PLAIN = "suppress_instrumentation"
_ERROR = Status(StatusCode.ERROR)
_SAMPLED = TraceFlags.SAMPLED


class Started:
    """A statement on its way.

    `span` is a span of the SDK, None when the trace is not sampled, or the parent's context (`SpanContext`) when the
    span will be written as a leaf, without an object of its own.
    """

    __slots__ = ("context", "prepared", "sets", "span", "start_ns")

    def __init__(self, prepared: Prepared, context: Context, span: Any, start_ns: int, sets: int) -> None:
        self.prepared, self.context, self.span, self.start_ns, self.sets = prepared, context, span, start_ns, sets


class QueryRecorder:
    """Makes the spans and the metric. One for the process; safe from any thread."""

    def __init__(self, tracer_provider: Any = None, meter_provider: Any = None) -> None:
        self.active = True
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        self._drops = DropRule(self._tracer).drops
        self._writer = SpanWriter(self._tracer)
        self._duration = Measured(_DURATION, meter_provider)

    def takes(self, execution: Any, context: Context) -> bool:
        """Whether what is executed here is ours to record."""
        return not (
            not self.active
            or context.get(SUPPRESSED)
            or context.get(_SUPPRESSED_PLAIN)
            or here.is_quiet(context)
            or (_OFFICIAL in sys.modules and _official_records(execution))
        )

    def start(self, target: Target, statement: str, execution: Any, sets: int = 1) -> Started | None:
        """Begin a statement, or None when it is not ours to record. Never raises."""
        try:
            context = get_current()
            if not self.takes(execution, context):
                return None
            prepared = target.prepared(statement, execution, batch=sets > 1)
            if self._drops(context):
                return Started(prepared, context, None, time_ns(), sets)
            parent = trace.get_current_span(context)
            if parent.is_recording() and self._writer.writes():
                known = parent.get_span_context()
                if known.trace_flags & _SAMPLED and not known.is_remote:
                    return Started(prepared, context, known, time_ns(), sets)
            return self._start_span(prepared, context, sets)
        except Exception:
            report("QueryRecorder.start")
            return None

    def _start_span(self, prepared: Prepared, context: Context, sets: int) -> Started:
        attributes = dict(prepared.span)
        identity = here.current(context)
        if identity is not None:
            attributes.update(identity.attributes)
        if sets > 1:
            attributes[names.DB_OPERATION_BATCH_SIZE] = sets
        start_ns = time_ns()
        span = self._tracer.start_span(
            prepared.name, context, SpanKind.CLIENT, attributes=attributes, start_time=start_ns
        )
        return Started(prepared, context, span, start_ns, sets)

    def _write(self, started: Started, end_ns: int, told: dict[str, str] | None) -> int:
        prepared = started.prepared
        if prepared.encoded is None:
            prepared.encoded = self._writer.prepare(prepared.name, SpanKind.CLIENT, prepared.span)
        identity = here.current(started.context)
        shared, session_id = b"", None
        if identity is not None:
            session_id = identity.session_id
            if identity.encoded is None:
                identity.encoded = encode_attributes(identity.attributes)
            shared = identity.encoded
        own: dict[str, Any] | None = dict(told) if told else None
        if started.sets > 1:
            own = {**(own or {}), names.DB_OPERATION_BATCH_SIZE: started.sets}
        return self._writer.write(
            prepared.name,
            started.span,
            (started.start_ns, end_ns),
            prepared.encoded,
            shared,
            own,
            session_id=session_id,
            error=told is not None,
        )

    def finish(self, started: Started, execution: Any, error: BaseException | None = None) -> None:
        """End a statement. Never raises."""
        end_ns = time_ns()
        prepared, told = started.prepared, None
        series = prepared.series
        try:
            if error is not None:
                told = told_of(error)
                series = self._duration.series({**prepared.metric, **told})
                setattr(execution, FAILED, id(error))  # the error itself would close a reference cycle
            elif series is None:
                series = prepared.series = self._duration.series(prepared.metric)
        except Exception:
            report("QueryRecorder.finish: error")
        try:
            context = self._end(started, end_ns, told)
            if series is not None:
                seconds = (end_ns - started.start_ns) / 1e9
                series.add(seconds, context, notable=error is not None or seconds >= _SLOW_S)
        except Exception:
            report("QueryRecorder.finish")

    def _end(self, started: Started, end_ns: int, told: dict[str, str] | None) -> Context:
        """End or write the span; gives the context in which the duration was measured, for exemplars."""
        span, context = started.span, started.context
        if span is None:
            return context
        if type(span) is SpanContext:
            span_id = self._write(started, end_ns, told)
            if told is None and end_ns - started.start_ns < _SLOW_S * 1e9:
                return context
            written = SpanContext(span.trace_id, span_id, False, span.trace_flags, span.trace_state)
            return trace.set_span_in_context(NonRecordingSpan(written), context)  # for an exemplar
        if told is not None:
            span.set_attributes(told)
            span.set_status(_ERROR)
        span.end(end_ns)
        return trace.set_span_in_context(span, context)


def told_of(error: BaseException) -> dict[str, str]:
    """What may be said of an error: its type and the database's code. Its message carries values."""
    code = failures.status_code(error)
    if error.__cause__ is not None and type(error).__module__.startswith("sqlalchemy."):
        error = error.__cause__  # SQLAlchemy's adapters for asyncio wrap the driver's own
    told = {names.ERROR_TYPE: failures.type_name(error)}
    return {**told, names.DB_RESPONSE_STATUS_CODE: code} if code else told


def _official_records(execution: Any) -> bool:
    """Whether the official instrumentation makes this engine's query spans; asked anew, since it may come later."""
    for listener in execution.engine.dispatch.before_cursor_execute:
        owner = getattr(listener, "__self__", None)
        if owner is not None and type(owner).__module__.startswith(_OFFICIAL):
            return True
    return False
