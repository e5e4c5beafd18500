"""What happened, counted once, as plain data: the metrics exporters read it, and the monitor will read the same.

A tally costs about half a microsecond where an SDK instrument costs ten. `Durations` and `Levels` look the same
whether they count here or hand on to SDK instruments (`instruments.py` chooses).
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context

from otel_session import attributes as names
from otel_session import context as here

MAX_SERIES = 2_000
"""Attribute sets of one metric; what comes beyond is counted together, as the SDK specification says."""
WAITING_MOST = 256
"""Measurements that wait to be summed up; a hot loop may append to `waiting` itself and call `settle` from here on."""
_OVERFLOW: Mapping[str, Any] = {"otel.metric.overflow": True}

Attributes = Mapping[str, Any]


class Metric(NamedTuple):
    """What a metric is called. `boundaries` are the upper limits of its buckets; empty for a level."""

    scope: str
    name: str
    unit: str
    description: str
    boundaries: tuple[float, ...] = ()


class Sighting(NamedTuple):
    """One measurement worth looking at (an OpenTelemetry exemplar): it leads from a spike to a session."""

    value: float
    time_ns: int
    trace_id: int
    span_id: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Point:
    """A series as read. `counts` has one entry more than the boundaries; a level has only `total`."""

    attributes: Attributes
    start_ns: int
    count: int
    total: float
    counts: tuple[int, ...]
    least: float
    most: float
    sightings: tuple[Sighting, ...]


class Series:
    """One attribute set of one metric. Safe from any thread."""

    __slots__ = (
        "_boundaries",
        "_counts",
        "_least",
        "_lock",
        "_most",
        "_sightings",
        "_start_ns",
        "_total",
        "attributes",
        "waiting",
    )

    def __init__(self, attributes: Attributes, boundaries: tuple[float, ...]) -> None:
        self.attributes = attributes
        self._boundaries = boundaries
        self.reset()

    def reset(self) -> None:
        """Begin at nothing, now: also in a forked child, which does not count what its parent did."""
        self.waiting: list[float] = []
        # Nobody waits for it in `add`: garbage collection or a signal may end a span in the middle of one.
        self._lock = threading.Lock()
        self._counts = [0] * (len(self._boundaries) + 1)
        self._total = 0.0
        self._least, self._most = float("inf"), float("-inf")
        self._sightings: dict[int, Sighting] = {}
        self._start_ns = int(time.time_ns())  # a test's own clock may give a float

    def add(self, value: float, context: Context | None = None, *, notable: bool = False) -> None:
        """Count a measurement.

        Args:
            value: In the metric's unit.
            context: Where it was made; with `notable`, its trace and session are kept beside it.
            notable: It is slow or failed.
        """
        waiting = self.waiting
        waiting.append(value)  # one step for all threads; a lock and the sums would cost five times as much
        if len(waiting) >= WAITING_MOST:
            self.settle()
        if notable and context is not None:
            self._remember(bisect_left(self._boundaries, value), value, context)

    def settle(self) -> None:
        """Put what waits into the sums, unless somebody is at it."""
        if self._lock.acquire(False):
            try:
                self._count()
            finally:
                self._lock.release()

    def _count(self) -> None:
        """Put what waits into the sums; under the lock."""
        waiting, counts, boundaries = self.waiting, self._counts, self._boundaries
        values = waiting[:]
        del waiting[: len(values)]  # what others append meanwhile stays
        for value in values:
            counts[bisect_left(boundaries, value)] += 1
        self._total += sum(values)
        self._least, self._most = min(self._least, *values), max(self._most, *values)

    def _remember(self, at: int, value: float, context: Context) -> None:
        known = trace.get_current_span(context).get_span_context()
        if not known.is_valid or not known.trace_flags.sampled:
            return
        identity = here.current(context)
        session_id = identity.session_id if identity else None
        about = {names.SESSION_ID: session_id} if session_id else {}
        # One for each bucket, the latest: bounded, and there is one wherever a reader looks.
        self._sightings[at] = Sighting(value, int(time.time_ns()), known.trace_id, known.span_id, about)

    def read(self, since_ns: int = 0) -> Point | None:
        """What was counted since the start, with the sightings since `since_ns`; None while there is nothing."""
        with self._lock:
            if self.waiting:
                self._count()
            counts, sightings = tuple(self._counts), tuple(self._sightings.values())
            total, least, most = self._total, self._least, self._most
        count = sum(counts)
        if not count:
            return None
        recent = tuple(seen for seen in sightings if seen.time_ns >= since_ns)
        return Point(self.attributes, self._start_ns, count, total, counts, least, most, recent)


class Tally:
    """All series of one metric."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._series: dict[Any, Series] = {}
        self._lock = threading.RLock()

    def series(self, attributes: Attributes) -> Series:
        """The series of an attribute set, made at its first sight. Keep it where the set is known beforehand."""
        key = _key_of(attributes)
        found = self._series.get(key)
        if found is not None:
            return found
        with self._lock:
            if key in self._series:
                return self._series[key]
            if len(self._series) >= MAX_SERIES:
                key, attributes = _OVERFLOW_KEY, _OVERFLOW
            return self._series.setdefault(key, Series(dict(attributes), self.metric.boundaries))

    def reset(self) -> None:
        """Forget the counts; the series stay, since others hold them."""
        self._lock = threading.RLock()
        for series in list(self._series.values()):
            series.reset()

    def read(self, since_ns: int = 0) -> list[Point]:
        """Every series that has counted something, with the sightings since `since_ns`."""
        found = [series.read(since_ns) for series in list(self._series.values())]
        return [point for point in found if point is not None]


_OVERFLOW_KEY = "overflow"


def _key_of(attributes: Attributes) -> Any:
    """Equal for the same attributes in any order; True, 1 and 1.0 are three values."""
    try:
        return frozenset([(name, value.__class__, value) for name, value in attributes.items()])
    except TypeError:  # a list among the values
        return repr(sorted(attributes.items()))


_tallies: dict[Metric, Tally] = {}


def tally_of(metric: Metric) -> Tally:
    """The process's tally of a metric, made at its first use."""
    found = _tallies.get(metric)
    return found if found is not None else _tallies.setdefault(metric, Tally(metric))


def all_tallies() -> list[Tally]:
    """Every tally of the process."""
    return list(_tallies.values())


def reset() -> None:
    """Begin all tallies at nothing; in a child process, whose locks another thread of the parent may have taken."""
    global _lock
    _lock = threading.RLock()
    _refused.clear()
    for tally in all_tallies():
        tally.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset)


_lock = threading.RLock()
_refused: Counter[str] = Counter()


def count_refused(source: str) -> None:
    """Count one inbound id that was ignored. `source` is a short fixed word such as `cookie` or `header`."""
    with _lock:
        _refused[source] += 1


def refused() -> Mapping[str, int]:
    """How many inbound ids were ignored since the process began, by source."""
    with _lock:
        return dict(_refused)
