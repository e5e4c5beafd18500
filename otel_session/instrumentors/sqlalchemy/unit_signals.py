"""A unit of work as a span; as a leaf, where nobody but our own encoder listens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import time_ns
from typing import Any, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_session import attributes as names
from otel_session import context as here
from otel_session._guard import report
from otel_session.instrumentors.sqlalchemy.places import current_place
from otel_session.instrumentors.sqlalchemy.queries import ASIDE, QueryRecorder
from otel_session.instrumentors.sqlalchemy.unit_counts import UnitCounts
from otel_session.instrumentors.sqlalchemy.units import CLOSE, COMMIT, ROLLBACK, Unit
from otel_session.wire.cache import GenerationCache
from otel_session.wire.entries import Dropped, EntrySpan, Part
from otel_session.wire.identities import tell_as_it_was
from otel_session.wire.leaves import Leaf, SpanWriter, encode_leaf
from otel_session.wire.parts import IdsPart

# Those that make spans of their own under the current one: a unit's span is a real one for them.
_SQLALCHEMY = "opentelemetry.instrumentation.sqlalchemy"
_DBAPI = "opentelemetry.instrumentation.dbapi"
_new = tuple.__new__
_SLOW_NS = 1_000_000
"""The ROLLBACK of a unit of work that was merely closed gets a span when it takes longer than a millisecond."""


class UnitSignals:
    """Begins and ends the spans of units of work. Safe from any thread."""

    def __init__(self, recorder: QueryRecorder, counts: UnitCounts, *, opened_at: bool = False) -> None:
        self._recorder = recorder
        self._writer = recorder.writer
        self._rule = recorder.rule
        self._opened_at = opened_at
        self.counts = counts

    def begin(self) -> Unit | None:
        """A unit of work begins here; None where our instrumentors stand aside."""
        context = here.get_current()
        if not ASIDE.isdisjoint(context) and not self._recorder.is_on(context):
            return None
        ambient: Any = context.get(here.SPAN)
        unit = Unit(context, ambient)
        if type(ambient) is Dropped:
            return unit
        if self._opened_at:
            unit.opened_at = current_place()
        if _SQLALCHEMY in sys.modules or _DBAPI in sys.modules or not self._has_id(unit, ambient):
            self._start_span(unit)
        return unit

    def _has_id(self, unit: Unit, ambient: Any) -> bool:
        """Whether it is to be a leaf, which has an id from now on."""
        if type(ambient) is EntrySpan:
            recording, known = ambient._end_time is None, ambient._context
        elif ambient is None:
            return False
        else:
            recording, known = ambient.is_recording(), ambient.get_span_context()
        if not recording or not self._writer.writes():
            return False
        trace_id, _, is_remote, flags, state, _ = known
        if is_remote or not flags & TraceFlags.SAMPLED:
            return False
        unit.known = _new(SpanContext, (trace_id, self._writer.new_id(), False, flags, state, True))
        return True

    def _start_span(self, unit: Unit) -> None:
        if self._rule.drops(unit.context):
            return
        identity = here.current(unit.context)
        session_id = None if identity is None else identity.session_id
        entry = self._recorder.entries.start(
            names.SPAN_UNIT_OF_WORK,
            SpanKind.INTERNAL,
            unit.context,
            lambda: () if identity is None else (IdsPart(identity),),
            session_id,
            confirmed=False,
            start_ns=unit.start_ns,
        )
        unit.span = entry or self._recorder.tracer.start_span(
            names.SPAN_UNIT_OF_WORK,
            unit.context,
            attributes=identity.attributes if identity else None,
            start_time=unit.start_ns,
        )
        unit.known = unit.span.get_span_context()

    def is_here(self, unit: Unit) -> bool:
        """Whether what happens now belongs to the unit's own span: it has one, and the span around it is current."""
        return unit.span is not None and here.span_in(here.get_current()) is unit.ambient

    @contextmanager
    def inside(self, unit: Unit) -> Iterator[None]:
        """Make the unit's span current for one call into SQLAlchemy, on one thread."""
        if unit.span is None:
            yield
            return
        token = otel_context.attach(trace.set_span_in_context(unit.span))
        try:
            yield
        finally:
            otel_context.detach(token)

    def end(self, unit: Unit, outcome: str = "") -> None:
        """A unit of work has ended, and is found no more. Never raises.

        Args:
            unit: The unit.
            outcome: `leaked`; else what the unit says of itself.
        """
        try:
            unit.let_go()
            end_ns = time_ns()
            if not outcome:
                outcome = COMMIT if unit.committed else ROLLBACK if unit.rolled_back else CLOSE
            error = None if outcome == COMMIT else unit.error or unit.reason
            if unit.known is not None:
                identity = here.current(unit.context)
                if identity is not None and identity.work is not None:
                    identity.work.commits += unit.commits
                    identity.work.rollbacks += unit.rollbacks
                if unit.endings:
                    self._tell_endings(unit, outcome)
                key = outcome, unit.statements, unit.savepoints, unit.flushed, unit.joined, unit.reason, error
                if unit.span is None:
                    self._write(unit, identity, end_ns, key)
                else:
                    _end(unit, end_ns, _told(key, unit.opened_at), error is not None)
            self.counts.add(unit, outcome, error, end_ns - unit.start_ns)
        except Exception:
            report("UnitSignals.end")

    def _tell_endings(self, unit: Unit, outcome: str) -> None:
        endings, unit.endings = unit.endings, ()  # each knows its unit: they would live until garbage is collected
        for started, end_ns, error in endings:
            deliberate = outcome in (COMMIT, ROLLBACK) or error is not None
            if deliberate or end_ns - started.start_ns >= _SLOW_NS:
                self._recorder.tell_ending(started, end_ns, error)

    def _write(self, unit: Unit, identity: Any, end_ns: int, key: _Told) -> None:
        ambient: Any = unit.ambient
        known: Any = unit.known
        self._writer.write(
            _encode,
            key,
            unit.opened_at,
            ambient.get_span_context(),
            known.span_id,
            unit.start_ns,
            end_ns,
            identity,
            None if identity is None else identity.attributes,
            unit.links,
        )


_Told: TypeAlias = tuple[str, int, int, tuple[int, int, int], bool, str | None, str | None]
"""Outcome, statements, savepoints, what was flushed, whether joined, reason, error."""
_encoded: GenerationCache[_Told, bytes] = GenerationCache(max_entries=1024, max_bytes=1 << 20, measure=len)
"""Units of work are much alike: what is told of one is kept, encoded."""


def _encode(written: tuple[Any, ...], looked_up: bool) -> tuple[Leaf | None, bytes]:
    """A unit of work's span."""
    _, _, key, opened_at, parent, span_id, start_ns, end_ns, identity, attributes, links = written
    static = _encoded.young.get(key) if opened_at is None else None
    if static is None:
        static = SpanWriter.prepare(names.SPAN_UNIT_OF_WORK, SpanKind.INTERNAL, _told(key, opened_at))
        if opened_at is None:
            _encoded.put(key, static)
    shared, session_id = tell_as_it_was(identity, attributes)
    return encode_leaf(
        names.SPAN_UNIT_OF_WORK, SpanKind.INTERNAL, span_id, parent, start_ns, end_ns, (static, shared), session_id,
        key[-1] is not None, links, looked_up,
    )  # fmt: skip


def _told(key: _Told, opened_at: Any) -> dict[str, Any]:
    outcome, statements, savepoints, flushed, joined, reason, error = key
    told: dict[str, Any] = {names.UNIT_OUTCOME: outcome, names.UNIT_STATEMENTS: statements}
    if savepoints:
        told[names.UNIT_SAVEPOINTS] = savepoints
    if any(flushed):
        told[names.UNIT_NEW], told[names.UNIT_DIRTY], told[names.UNIT_DELETED] = flushed
    if reason is not None:
        told[names.UNIT_ROLLBACK_REASON] = reason
    if joined:
        told[names.UNIT_JOINED] = True
    if opened_at is not None:
        told[names.CODE_FILE_PATH], told[names.CODE_LINE_NUMBER] = opened_at.path, opened_at.line
        told[names.CODE_FUNCTION_NAME] = opened_at.function
    if error is not None:
        told[names.ERROR_TYPE] = error
    return told


def _end(unit: Unit, end_ns: int, told: dict[str, Any], failed: bool) -> None:
    span: Any = unit.span
    if type(span) is EntrySpan:
        span.tell(Part(told))
    else:
        span.set_attributes(told)
    for link in unit.links:
        span.add_link(link.context)
    if failed:
        span.set_status(Status(StatusCode.ERROR))
    span.end(end_ns)


def context_of(unit: Unit, context: Context) -> Context:
    """A context whose span is the unit's own."""
    if unit.span is not None:
        return trace.set_span_in_context(unit.span, context)
    return context if unit.known is None else trace.set_span_in_context(NonRecordingSpan(unit.known), context)
