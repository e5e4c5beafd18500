"""One CLIENT span and one duration for each statement that an engine sends (feature F2, first half).

A wrapped `do_execute` times the driver's call alone and sees the driver's own exception. Semantic conventions:
database client spans and metrics.
"""

from __future__ import annotations

import sys
from time import time_ns
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY as SUPPRESSED,
)  # what utils.suppress_instrumentation sets
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_session import attributes as names
from otel_session import context as here
from otel_session import failures
from otel_session._guard import report
from otel_session.instrumentors._base import DropRule
from otel_session.instrumentors.sqlalchemy.aborted import comes_from_server
from otel_session.instrumentors.sqlalchemy.prepared import Prepared, Target
from otel_session.instrumentors.sqlalchemy.units import KEY, Unit
from otel_session.instruments import Measured
from otel_session.tallies import Metric
from otel_session.wire.entries import Dropped, EntryMaker, Part
from otel_session.wire.identities import tell_as_it_was
from otel_session.wire.key_values import encode_attributes
from otel_session.wire.leaves import Leaf, SpanWriter, encode_leaf
from otel_session.wire.parts import IdsPart, shared_part
from otel_session.wire.span_ids import new_span_id

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
SLOW_NS = 100_000_000
"""A statement that takes longer is kept as an exemplar, and so is one that failed."""
OFFICIAL = "opentelemetry.instrumentation.sqlalchemy"
_SUPPRESSED_PLAIN = "suppress_instrumentation"
ASIDE = frozenset({SUPPRESSED, _SUPPRESSED_PLAIN, here.QUIET})
"""A context without these keys is one in which everything is recorded."""
_ERROR = Status(StatusCode.ERROR)
_SAMPLED = TraceFlags.SAMPLED
_new = tuple.__new__  # a named tuple's own constructor is written in Python


class Started(NamedTuple):
    """A statement on its way.

    `span` is a span of the SDK, None when the trace is not sampled, or the parent's context (`SpanContext`) when the
    span will be written as a leaf, without an object of its own.
    """

    prepared: Prepared
    context: Context
    span: Any
    start_ns: int
    sets: int
    unit: Unit | None


class QueryRecorder:
    """Makes the spans and the metric. One for the process; safe from any thread."""

    def __init__(self, tracer_provider: Any = None, meter_provider: Any = None) -> None:
        self.active = True
        self.tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        self.rule = DropRule(self.tracer)
        self.writer = SpanWriter(self.tracer)
        self.entries = EntryMaker(self.writer.way)
        self._duration = Measured(_DURATION, meter_provider)

    def is_on(self, context: Context) -> bool:
        """Whether anything is recorded here."""
        return self.active and not (context.get(SUPPRESSED) or context.get(_SUPPRESSED_PLAIN) or here.is_quiet(context))

    def takes(self, execution: Any, context: Context) -> bool:
        """Whether what is executed here is ours to record."""
        return self.is_on(context) and not official_listens(execution.engine)

    def start(self, target: Target, statement: str, execution: Any, sets: int = 1) -> Started | None:
        """Begin a statement, or None when it is not ours to record. Never raises."""
        try:
            context = here.get_current()
            unit: Unit | None = getattr(execution.root_connection, KEY, None)
            if unit is not None:
                unit.statements += 1
            if not self.takes(execution, context):
                if unit is not None:
                    self._pass_on(unit, target, execution, context)
                return None
            prepared = target.prepared(statement, execution, batch=sets > 1)
            started = Started(prepared, context, None, time_ns(), sets, unit)
            parent = here.span_in(context)
            if type(parent) is Dropped:
                return started
            above = None
            if unit is not None:
                if parent is unit.ambient:
                    above = unit.known
                else:
                    unit.used_under(parent)
            return self._start_under(parent, above, started)
        except Exception:
            report("QueryRecorder.start")
            return None

    def _pass_on(self, unit: Unit, target: Target, execution: Any, context: Context) -> None:
        """A statement that somebody else records; its COMMIT is ours to tell of all the same."""
        target.know(execution)
        parent = here.span_in(context)
        if parent is not unit.ambient:
            unit.used_under(parent)

    def _start_under(self, parent: Any, above: SpanContext | None, started: Started) -> Started:
        """Begin a statement under somebody else's span, or under none; `above` is its unit of work's span."""
        unit, context = started.unit, started.context
        if above is not None and unit is not None and unit.span is not None:
            parent, context = unit.span, trace.set_span_in_context(unit.span, context)
            above = None
        if self.rule.drops(context):
            return started
        if parent is not None and parent.is_recording() and self.writer.writes():
            known = above or parent.get_span_context()
            if known.trace_flags & _SAMPLED and not known.is_remote:
                return started._replace(span=known)
        if above is not None:
            context = trace.set_span_in_context(NonRecordingSpan(above), context)
        return started._replace(span=self._start_span(started, context))

    def _start_span(self, started: Started, context: Context) -> Any:
        prepared, identity = started.prepared, here.current(context)
        if started.sets == 1:
            session_id = None if identity is None else identity.session_id

            def parts() -> tuple[Part, ...]:
                own = prepared.part = prepared.part or shared_part(prepared.span)
                return (own,) if identity is None else (own, IdsPart(identity))

            entry = self.entries.start(
                prepared.name, SpanKind.CLIENT, context, parts, session_id, confirmed=False, start_ns=started.start_ns
            )
            if entry is not None:
                return entry
        attributes = dict(prepared.span)
        if identity is not None:
            attributes.update(identity.attributes)
        if started.sets > 1:
            attributes[names.DB_OPERATION_BATCH_SIZE] = started.sets
        return self.tracer.start_span(
            prepared.name, context, SpanKind.CLIENT, attributes=attributes, start_time=started.start_ns
        )

    def finish(self, started: Started, execution: Any, error: BaseException | None = None) -> None:
        """End a statement. Never raises."""
        end_ns = time_ns()
        prepared, context, span, start_ns, sets, unit = started
        took_ns = end_ns - start_ns
        notable = error is not None or took_ns >= SLOW_NS
        try:
            if unit is not None:
                unit.busy_ns += took_ns
            told = None if error is None else _fail(started, execution, error)
            if type(span) is SpanContext:
                span_id = self.writer.new_id()
                self.write(prepared, context, span, start_ns, end_ns, sets, told, span_id=span_id)
                if notable:
                    written = SpanContext(span.trace_id, span_id, False, span.trace_flags, span.trace_state)
                    context = trace.set_span_in_context(NonRecordingSpan(written), context)
            elif span is not None:
                _count(context, took_ns)
                context = _end(span, context, end_ns, told)
            if told is not None:
                series = self._duration.series({**prepared.metric, **told})
            else:
                series = prepared.series = prepared.series or self._duration.series(prepared.metric)
            series.add(took_ns / 1e9, context, notable=notable)
        except Exception:
            report("QueryRecorder.finish")

    def tell_ending(self, started: Started, end_ns: int, error: BaseException | None) -> None:
        """Tell of a COMMIT or ROLLBACK, as a span inside its unit of work's."""
        unit: Any = started.unit
        told = None if error is None else told_of(error)
        if unit.span is None:
            self.write(started.prepared, started.context, started.span, started.start_ns, end_ns, 1, told, counts=False)
        else:
            span = self._start_span(started, trace.set_span_in_context(unit.span, started.context))
            _end(span, started.context, end_ns, told)

    def tell(
        self,
        prepared: Prepared,
        unit: Unit | None,
        context: Context,
        times: tuple[int, int],
        error: BaseException | None,
    ) -> None:
        """Tell of something that has ended and is no statement: inside its unit of work's span, or the current one."""
        start_ns, end_ns = times
        parent = here.span_in(context)
        if unit is not None and unit.known is not None and (parent is unit.ambient or parent is unit.span):
            self.tell_ending(_new(Started, (prepared, unit.context, unit.known, start_ns, 1, unit)), end_ns, error)
            return
        started = self._start_under(parent, None, Started(prepared, context, None, start_ns, 1, None))
        told = None if error is None else told_of(error)
        if type(started.span) is SpanContext:
            self.write(prepared, context, started.span, start_ns, end_ns, 1, told, counts=False)
        elif started.span is not None:
            _end(started.span, context, end_ns, told)

    def write(
        self,
        prepared: Prepared,
        context: Context,
        parent: SpanContext,
        start_ns: int,
        end_ns: int,
        sets: int = 1,
        told: dict[str, str] | None = None,
        *,
        counts: bool = True,
        span_id: int = 0,
    ) -> None:
        """Tell of a statement, or of something else that `counts` as none, as a leaf.

        Args:
            prepared: What is static of it.
            context: Where it was issued: whose it is.
            parent: Of its span.
            start_ns: Nanoseconds since the epoch, like `end_ns`.
            end_ns: See above.
            sets: How many sets of parameters it had.
            told: What is said of its error.
            counts: Whether it is counted for its request.
            span_id: Its id, when that is known already.
        """
        identity: Any = context.get(here.KEY)
        attributes: Any = None
        if identity is not None:
            if identity.deadline is not None:
                identity = here.current(context)
            if identity is not None:
                attributes, work = identity.attributes, identity.work
                if work is not None and counts:
                    work.statements += 1
                    work.driver_ns += end_ns - start_ns
        writer = self.writer
        if not span_id and not writer.way.draws_ids:
            span_id = writer.new_id()
        writer.write(_encode, prepared, parent, start_ns, end_ns, sets, told, identity, attributes, span_id)


def _encode(written: tuple[Any, ...], looked_up: bool) -> tuple[Leaf | None, bytes]:
    """A statement's span, or that of a COMMIT or ROLLBACK."""
    _, _, prepared, parent, start_ns, end_ns, sets, told, identity, attributes, span_id = written
    encoded = prepared.encoded
    if encoded is None:
        encoded = prepared.encoded = SpanWriter.prepare(prepared.name, SpanKind.CLIENT, prepared.span)
    shared, session_id = tell_as_it_was(identity, attributes)
    parts: tuple[bytes, ...] = encoded, shared
    if told or sets > 1:
        own = {**(told or {}), **({names.DB_OPERATION_BATCH_SIZE: sets} if sets > 1 else {})}
        parts += (encode_attributes(own),)
    return encode_leaf(
        prepared.name, SpanKind.CLIENT, span_id or new_span_id(), parent, start_ns, end_ns, parts, session_id,
        told is not None, (), looked_up,
    )  # fmt: skip


def _count(context: Context, driver_ns: int) -> None:
    """Count a statement for its request."""
    identity = here.current(context)
    if identity is not None and identity.work is not None:
        identity.work.statements += 1
        identity.work.driver_ns += driver_ns


def _fail(started: Started, execution: Any, error: BaseException) -> dict[str, str]:
    """Note on the unit of work that a statement failed; gives what is said of the error."""
    told, unit = _tell(error, execution), started.unit
    if unit is not None:
        unit.error = told[names.ERROR_TYPE]
        if comes_from_server(error):
            unit.failed_at = unit.statements
    return told


def _tell(error: BaseException, execution: Any) -> dict[str, str]:
    try:
        setattr(execution, FAILED, id(error))  # the error itself would close a reference cycle
        return told_of(error)
    except Exception:  # an exception of somebody's own making: the span ends all the same
        report("QueryRecorder.finish: error")
        return {names.ERROR_TYPE: type(error).__name__}


def _end(span: Any, context: Context, end_ns: int, told: dict[str, str] | None) -> Context:
    """End a span of the SDK; gives the context in which the duration was measured, for exemplars."""
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


def official_listens(engine: Any) -> bool:
    """Whether the official instrumentation makes this engine's spans; asked anew, since it may come later."""
    if OFFICIAL not in sys.modules:
        return False
    for listener in engine.dispatch.before_cursor_execute:
        owner = getattr(listener, "__self__", None)
        if owner is not None and type(owner).__module__.startswith(OFFICIAL):
            return True
    return False
