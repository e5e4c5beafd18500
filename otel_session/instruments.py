"""Durations and levels: counted in tallies where our own exporters read those, else in ordinary SDK instruments.

The same metrics either way: names, units, buckets, attributes. Which way is settled when an instrumentor is switched
on: `use_tallies()` is called by the pipeline of our own configuration; a foreign reader (Prometheus, console, a
vendor's) or a provider given in code gets instruments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from opentelemetry import metrics
from opentelemetry.context import Context
from opentelemetry.metrics import Observation

from otel_session import observed as observing
from otel_session._by_identity import ByIdentity
from otel_session._version import __version__
from otel_session.observed import Kind, Observed
from otel_session.tallies import Attributes, Metric, tally_of

_tallied = False


def use_tallies(on: bool) -> None:
    """Say whether the global meter provider's readers take what is tallied."""
    global _tallied
    _tallied = on


def are_tallied() -> bool:
    """Whether `use_tallies` said so."""
    return _tallied


class Recorder(Protocol):
    """One attribute set of one metric."""

    def add(self, value: float, context: Context | None = None, *, notable: bool = False) -> None:
        """Count a measurement, in the metric's unit."""


class _InstrumentSeries:
    __slots__ = ("_attributes", "_record")

    def __init__(self, record: Any, attributes: Attributes) -> None:
        self._record, self._attributes = record, dict(attributes)

    def add(self, value: float, context: Context | None = None, *, notable: bool = False) -> None:
        self._record(value, self._attributes, context)


class Measured:
    """A metric to count into: `measured.series(attributes).add(value, context)`."""

    def __init__(self, metric: Metric, meter_provider: Any = None) -> None:
        self._tally = tally_of(metric) if _tallied and meter_provider is None else None
        self._record: Any = None
        if self._tally is None:
            meter = metrics.get_meter(metric.scope, __version__, meter_provider=meter_provider)
            if metric.boundaries:
                self._record = meter.create_histogram(
                    metric.name,
                    unit=metric.unit,
                    description=metric.description,
                    explicit_bucket_boundaries_advisory=metric.boundaries,
                ).record
            else:
                self._record = meter.create_up_down_counter(
                    metric.name, unit=metric.unit, description=metric.description
                ).add

    def series(self, attributes: Attributes) -> Recorder:
        """The series of an attribute set; keep it where the set is known beforehand."""
        if self._tally is not None:
            return self._tally.series(attributes)
        return _InstrumentSeries(self._record, attributes)


def observe(observed: Observed, meter_provider: Any = None) -> Callable[[], None]:
    """Have a metric read whenever metrics are collected.

    Args:
        observed: The metric; another one of its name on the same provider is replaced.
        meter_provider: Instead of the global one.

    Returns:
        A function that ends it.
    """
    if _tallied and meter_provider is None:
        observing.put_in_force(observed)
        return lambda: observing.take_out(observed)
    provider = metrics.get_meter_provider() if meter_provider is None else meter_provider
    relays = _relays.get(provider)
    if relays is None:
        relays = {}
        _relays.put(provider, relays)
    relay = relays.get(observed.metric.name)
    if relay is None:
        relay = relays[observed.metric.name] = _Relay()
        relay.make(observed, provider)
    relay.observed = observed
    return lambda: relay.release(observed)


class _Relay:
    """The callback of one SDK instrument: OpenTelemetry has no way to take an instrument off a provider again."""

    def __init__(self) -> None:
        self.observed: Observed | None = None

    def make(self, observed: Observed, meter_provider: Any) -> None:
        metric = observed.metric
        meter = metrics.get_meter(metric.scope, __version__, meter_provider=meter_provider)
        create = {
            Kind.GAUGE: meter.create_observable_gauge,
            Kind.LEVEL: meter.create_observable_up_down_counter,
            Kind.COUNT: meter.create_observable_counter,
        }[observed.kind]
        create(metric.name, [self], metric.unit, metric.description)

    def __call__(self, _options: Any) -> list[Observation]:
        known = self.observed
        return [Observation(value, attributes) for value, attributes in known.readings()] if known else []

    def release(self, observed: Observed) -> None:
        if self.observed is observed:
            self.observed = None


_relays: ByIdentity[dict[str, _Relay]] = ByIdentity()
