"""Operations as two metrics: how long they took, and how many failed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry import metrics
from opentelemetry.context import Context

from otel_session import attributes as names
from otel_session import failures, instruments
from otel_session.instruments import Measured, Recorder
from otel_session.observed import Kind, Observed, Reading
from otel_session.tallies import Metric

SCOPE = "otel_session.operations"
_DURATION = Metric(
    SCOPE,
    names.METRIC_OPERATION_DURATION,
    "s",
    "Duration of operations.",
    (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0),
)
_ERRORS = Metric(SCOPE, names.METRIC_OPERATION_ERRORS, "{operation}", "Operations that failed.")
_SLOW_S = 1.0
"""A longer one is kept as an exemplar, and so is one that failed."""
_NAMES_MOST = 500
_SERIES_MOST = 1_000
_OTHER = "_OTHER"  # semconv: what a value is called that is one too many


class Counts:
    """Durations and errors, by name and type of error. Safe from any thread."""

    def __init__(self, meter_provider: Any = None) -> None:
        self._given = meter_provider
        self._made_for = _in_force()
        # Before there is a provider nobody could ever read what is counted.
        counts = meter_provider is not None or type(self._made_for[0]).__name__ != "_ProxyMeterProvider"
        self._duration = Measured(_DURATION, meter_provider) if counts else None
        self._end: Callable[[], None] | None = None
        self.begin_anew()
        if counts:
            self._end = instruments.observe(Observed(_ERRORS, Kind.COUNT, self._read_errors), meter_provider)

    def is_up_to_date(self) -> bool:
        """Whether the provider that it was made for is still the one in force. Costs about 0.2 µs."""
        return self._given is not None or _in_force() == self._made_for

    def begin_anew(self) -> None:
        """Count from nothing, as a forked child does."""
        self._lock = threading.RLock()  # garbage collection may end an operation in the middle of `add`
        self._errors: Counter[tuple[str, str]] = Counter()
        self._series: dict[tuple[str, str], Recorder] = {}
        self._names: set[str] = set()

    def end(self) -> None:
        """Nobody is told of errors any more."""
        if self._end is not None:
            self._end()

    def add(self, name: str, seconds: float, outcome: str, error: BaseException | None, context: Context) -> None:
        """Count an operation that has ended.

        Args:
            name: The operation's.
            seconds: How long it took.
            outcome: How it ended; a failed one counts as an error, too.
            error: What it ended with, None when it completed.
            context: Its own, for exemplars.
        """
        if self._duration is None:
            return
        kind = "" if error is None else failures.type_name(error)
        series = self._series.get((name, kind)) or self._series_of(name, kind)
        series.add(seconds, context, notable=error is not None or seconds >= _SLOW_S)
        if outcome == names.OPERATION_FAILED:
            with self._lock:
                self._errors[self._bounded(name, kind)] += 1

    def _series_of(self, name: str, kind: str) -> Recorder:
        with self._lock:
            known, told = self._bounded(name, kind)
            about = {names.OPERATION_NAME: known, **({names.ERROR_TYPE: told} if told else {})}
            series: Recorder = self._duration.series(about)  # type: ignore[union-attr]  # `add` has asked
            if (known, told) == (name, kind):
                self._series[name, kind] = series
        return series

    def _bounded(self, name: str, kind: str) -> tuple[str, str]:
        """Name and error type while there are not too many: some programs write ids into names. Under the lock."""
        if name not in self._names:
            if len(self._names) < _NAMES_MOST:
                self._names.add(name)
            else:
                name = _OTHER
        known = not kind or (name, kind) in self._series or len(self._series) < _SERIES_MOST
        return name, kind if known else _OTHER

    def _read_errors(self) -> Iterator[Reading]:
        with self._lock:
            found = list(self._errors.items())
        yield from ((n, {names.OPERATION_NAME: name, names.ERROR_TYPE: kind}) for (name, kind), n in found)


def _in_force() -> tuple[Any, bool]:
    return metrics.get_meter_provider(), instruments.are_tallied()
