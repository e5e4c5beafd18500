"""What units of work and ORM sessions are counted as (feature E1)."""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan

from otel_session import attributes as names
from otel_session import instruments
from otel_session.instrumentors.sqlalchemy.orm_sessions import OrmSessions
from otel_session.instrumentors.sqlalchemy.units import CLOSE, Unit
from otel_session.instruments import Measured
from otel_session.observed import Kind, Observed, Reading
from otel_session.tallies import WAITING_MOST, Metric, Series

_BOUNDARIES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0)
_SLOW_NS = 1_000_000_000
"""A longer one is kept as an exemplar, and so is one that failed."""
_ERRORS_MOST = 100
_OTHER = "_OTHER"  # semconv: what an error type is called that is one too many


class UnitCounts:
    """Durations by outcome, commits, rollbacks and errors. Safe from any thread."""

    def __init__(self, scope: str, meter_provider: Any = None) -> None:
        self._scope = scope
        self._meter_provider = meter_provider
        duration = Metric(scope, names.METRIC_UNIT_DURATION, "s", "Duration of units of work.", _BOUNDARIES)
        idle = Metric(
            scope,
            names.METRIC_UNIT_IDLE_DURATION,
            "s",
            "Time in a unit of work in which no driver was at work: its transaction was idle.",
            _BOUNDARIES,
        )
        self._duration, self._idle = Measured(duration, meter_provider), Measured(idle, meter_provider)
        self._series: dict[str, tuple[Any, Any]] = {}
        self._tallied = type(self._series_of(CLOSE)[0]) is Series
        self._ends: list[Callable[[], None]] = []
        self.begin_anew()
        _counting.add(self)

    def begin_anew(self) -> None:
        """Count from nothing, as a forked child does."""
        self._lock = threading.RLock()  # garbage collection may end a unit of work in the middle of `settle`
        self._commits = self._rollbacks = 0
        self._errors: Counter[str] = Counter()
        self._waiting: deque[tuple[str, int, int, int, int]] = deque()

    @property
    def commits(self) -> int:
        """COMMITs that were sent."""
        self.settle()
        return self._commits

    @property
    def rollbacks(self) -> int:
        """ROLLBACKs that were sent."""
        self.settle()
        return self._rollbacks

    @property
    def errors(self) -> dict[str, int]:
        """Units of work that failed, by the error's type."""
        with self._lock:
            return dict(self._errors)

    def add(self, unit: Unit, outcome: str, error: str | None, duration_ns: int) -> None:
        """Count one that has ended."""
        if self._tallied and error is None and duration_ns < _SLOW_NS:
            waiting = self._waiting
            waiting.append((outcome, duration_ns, unit.busy_ns, unit.commits, unit.rollbacks))
            if len(waiting) >= WAITING_MOST:
                self.settle()
            return
        context = unit.context
        notable = error is not None or duration_ns >= _SLOW_NS
        if notable and unit.known is not None:
            context = trace.set_span_in_context(NonRecordingSpan(unit.known), context)
        duration, idle = self._series_of(outcome)
        duration.add(duration_ns / 1e9, context, notable=notable)
        idle.add(max(0, duration_ns - unit.busy_ns) / 1e9, context)
        with self._lock:
            self._commits += unit.commits
            self._rollbacks += unit.rollbacks
            if error is not None:
                known_error = error in self._errors or len(self._errors) < _ERRORS_MOST
                self._errors[error if known_error else _OTHER] += 1

    def settle(self) -> None:
        """Count those that wait: whoever reads calls it, and so does the end of each 256th unit of work."""
        waiting = self._waiting
        with self._lock:
            for _ in range(len(waiting)):
                try:
                    outcome, duration_ns, busy_ns, commits, rollbacks = waiting.popleft()
                except IndexError:
                    return
                duration, idle = self._series_of(outcome)
                duration.add(duration_ns / 1e9)
                idle.add(max(0, duration_ns - busy_ns) / 1e9)
                self._commits += commits
                self._rollbacks += rollbacks

    def _series_of(self, outcome: str) -> tuple[Any, Any]:
        known = self._series.get(outcome)
        if known is None:
            about = {names.UNIT_OUTCOME: outcome}
            known = self._series[outcome] = self._duration.series(about), self._idle.series(about)
        return known

    def observe(self, orm_sessions: OrmSessions) -> None:
        """Have the counts read whenever metrics are collected."""
        self._ends = [instruments.observe(one, self._meter_provider) for one in self._observed(orm_sessions)]

    def end(self) -> None:
        """Undo it."""
        while self._ends:
            self._ends.pop()()

    def _observed(self, sessions: OrmSessions) -> Iterator[Observed]:
        def one(name: str, unit: str, description: str, kind: Kind, read: Callable[[], int]) -> Observed:
            return Observed(Metric(self._scope, name, unit, description), kind, lambda: [(read(), {})])

        def errors() -> Iterator[Reading]:
            yield from ((count, {names.ERROR_TYPE: error}) for error, count in self.errors.items())

        transaction, orm_session = "{transaction}", "{orm_session}"
        yield one(names.METRIC_UNIT_COMMITS, transaction, "COMMITs sent.", Kind.COUNT, lambda: self.commits)
        yield one(names.METRIC_UNIT_ROLLBACKS, transaction, "ROLLBACKs sent.", Kind.COUNT, lambda: self.rollbacks)
        yield Observed(
            Metric(self._scope, names.METRIC_UNIT_ERRORS, "{unit_of_work}", "Units of work that failed."),
            Kind.COUNT,
            errors,
        )
        for name, description, kind, read in (
            (names.METRIC_ORM_SESSIONS_CREATED, "ORM sessions created.", Kind.COUNT, lambda: sessions.made),
            (names.METRIC_ORM_SESSIONS_CLOSED, "ORM sessions closed.", Kind.COUNT, lambda: sessions.ended),
            (names.METRIC_ORM_SESSIONS_ACTIVE, "ORM sessions there are.", Kind.LEVEL, lambda: sessions.active),
            (names.METRIC_ORM_SESSIONS_PEAK, "Most ORM sessions at a time.", Kind.GAUGE, lambda: sessions.most),
        ):
            yield one(name, orm_session, description, kind, read)


_counting: weakref.WeakSet[UnitCounts] = weakref.WeakSet()


def _in_child() -> None:
    for counts in list(_counting):
        counts.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
