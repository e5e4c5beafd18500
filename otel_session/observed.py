"""What can be read is read instead of counted: metrics whose values are asked for when metrics are collected.

Reading costs the application nothing, and what is read cannot drift from what is so. `instruments.observe` puts such a
metric in force, for our own exporters or as an SDK instrument.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from enum import Enum

from otel_session._guard import report
from otel_session.tallies import MAX_SERIES, Attributes, Metric

Reading = tuple[float, Attributes]
"""A value in the metric's unit, and the attribute set it belongs to."""


class Kind(Enum):
    """What kind of number it is, in OpenTelemetry's terms."""

    GAUGE = "gauge"
    LEVEL = "up-down counter"
    COUNT = "counter"


class Observed:
    """One metric and the function that reads it, called by whichever thread collects."""

    def __init__(self, metric: Metric, kind: Kind, read: Callable[[], Iterable[Reading]]) -> None:
        self.metric = metric
        self.kind = kind
        self._read = read
        self._pid = os.getpid()
        self._start_ns = int(time.time_ns())

    @property
    def start_ns(self) -> int:
        """Since when it is read, in nanoseconds since the epoch; a forked child begins anew."""
        if self._pid != os.getpid():
            self._pid, self._start_ns = os.getpid(), int(time.time_ns())
        return self._start_ns

    def readings(self) -> list[Reading]:
        """The values now, of at most 2,000 attribute sets. None when reading failed, which is reported once."""
        try:
            return list(self._read())[:MAX_SERIES]
        except Exception:
            report(f"observing {self.metric.name}")
            return []


_in_force: dict[str, Observed] = {}


def put_in_force(observed: Observed) -> None:
    """Let our own exporters read this metric; another one of its name is replaced."""
    _in_force[observed.metric.name] = observed


def take_out(observed: Observed) -> None:
    """Undo `put_in_force`."""
    if _in_force.get(observed.metric.name) is observed:
        del _in_force[observed.metric.name]


def all_observed() -> list[Observed]:
    """Every metric that our own exporters read."""
    return list(_in_force.values())
