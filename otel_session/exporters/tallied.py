"""Tallies and what is observed, as the SDK's own data classes, beside what SDK instruments measured: one collection."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry import metrics
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, Exemplar, TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    PeriodicExportingMetricReader,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.view import DefaultAggregation, ExplicitBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_session._version import __version__
from otel_session.observed import Kind, Observed, all_observed
from otel_session.tallies import MAX_SERIES, Point, Sighting, Tally, all_tallies
from otel_session.wire import forks

_KNOWN = ("opentelemetry.exporter.otlp.proto.", "otel_session.exporters.")
_NAMES = (
    "_collect",
    "_export_lock",
    "_exporter",
    "_instrument_class_aggregation",
    "_instrument_class_temporality",
    "_set_collect_callback",
)
_REPLACED = (
    metrics.Histogram,
    metrics.UpDownCounter,
    metrics.ObservableGauge,
    metrics.ObservableUpDownCounter,
    metrics.ObservableCounter,
)
_Collect = Callable[..., MetricsData | None]


def attach(meter_provider: Any) -> bool:
    """Let a provider's readers collect the tallies, too.

    Returns:
        Whether all of them do: they are periodic, export by OTLP or into the local store, cumulatively and with
        explicit buckets, and no view changes what is measured. A reader of another kind (Prometheus, console, a
        vendor's) needs SDK instruments.
    """
    readers = readers_of(meter_provider)
    settings = getattr(meter_provider, "_sdk_config", None)
    if not readers or settings is None or getattr(settings, "views", None):
        return False
    exemplars = getattr(settings, "exemplar_filter", None)
    if not isinstance(exemplars, TraceBasedExemplarFilter | AlwaysOffExemplarFilter):
        return False
    if not all(_fits(reader) for reader in readers):
        return False
    for reader in readers:
        if not isinstance(reader._collect, _Collecting):
            shown = isinstance(exemplars, TraceBasedExemplarFilter)
            reader._set_collect_callback(_Collecting(reader._collect, settings, exemplars=shown))
    return True


def readers_of(meter_provider: Any) -> list[Any]:
    """A provider's metric readers."""
    readers = getattr(meter_provider, "_metric_readers", None)
    if readers is None:  # before they could be added and taken off
        readers = getattr(getattr(meter_provider, "_sdk_config", None), "metric_readers", None)
    return list(readers or ())


def _fits(reader: Any) -> bool:
    if type(reader) is not PeriodicExportingMetricReader or not all(hasattr(reader, name) for name in _NAMES):
        return False
    if not type(reader._exporter).__module__.startswith(_KNOWN) or reader._collect is None:
        return False
    kinds = reader._instrument_class_temporality
    cumulative = all(kinds.get(kind) is AggregationTemporality.CUMULATIVE for kind in kinds if _counts(kind))
    aggregations = [a for kind, a in reader._instrument_class_aggregation.items() if _counts(kind)]
    limits = getattr(reader, "_instrument_class_cardinality_limit", {})
    return (
        cumulative
        and all(_is_usual(aggregation) for aggregation in aggregations)
        and all(limit == MAX_SERIES for kind, limit in limits.items() if _counts(kind))
    )


def _counts(kind: type) -> bool:
    """Whether tallies, or what we observe, take the place of this kind of instrument."""
    return issubclass(kind, _REPLACED)


def _is_usual(aggregation: Any) -> bool:
    if isinstance(aggregation, ExplicitBucketHistogramAggregation):
        return aggregation._boundaries is None and aggregation._record_min_max
    return isinstance(aggregation, DefaultAggregation)


class _Collecting:
    """A reader's collection, the tallies with it: there is one also when no SDK instrument has measured anything."""

    def __init__(self, collect: _Collect, settings: Any, *, exemplars: bool) -> None:
        self._collect = collect
        self._settings = settings
        self._exemplars = exemplars
        self._since_ns = 0

    def __call__(self, *args: Any, **kwargs: Any) -> MetricsData | None:
        forks.notice()
        now_ns = int(time.time_ns())
        since_ns, self._since_ns = self._since_ns if self._exemplars else sys.maxsize, now_ns
        return with_tallies(self._collect(*args, **kwargs), self._settings.resource, now_ns, since_ns)


def with_tallies(data: MetricsData | None, resource: Resource, now_ns: int, since_ns: int = 0) -> MetricsData | None:
    """A collection and what is tallied and observed; exemplars since `since_ns`. None when there is nothing at all."""
    by_scope: dict[str, list[Metric]] = {}
    for observed in all_observed():  # first: looking may be what makes a tally complete
        metric = _metric_read(observed, now_ns)
        if metric is not None:
            by_scope.setdefault(observed.metric.scope, []).append(metric)
    for tally in all_tallies():
        metric = _metric_of(tally, now_ns, since_ns)
        if metric is not None:
            by_scope.setdefault(tally.metric.scope, []).append(metric)
    if not by_scope:
        return data
    scopes = [scope for found in (data.resource_metrics if data else ()) for scope in found.scope_metrics]
    for name, found in by_scope.items():
        same = [s for s in scopes if s.scope.name == name and s.scope.version == __version__]
        if same:
            same[0].metrics.extend(found)  # type: ignore[attr-defined]  # a list, whatever its type says
        else:
            scopes.append(ScopeMetrics(_scope_of(name), found, ""))
    url = data.resource_metrics[0].schema_url if data and data.resource_metrics else resource.schema_url
    return MetricsData([ResourceMetrics(resource, scopes, url)])


@functools.cache
def _scope_of(name: str) -> InstrumentationScope:
    """One object for all collections: what is encoded of a scope is kept for that object."""
    return InstrumentationScope(name, __version__)


def _metric_of(tally: Tally, now_ns: int, since_ns: int) -> Metric | None:
    points = tally.read(since_ns)
    if not points:
        return None
    known = tally.metric
    data: Histogram | Sum
    if known.boundaries:
        data = Histogram(
            [_histogram_point(p, known.boundaries, now_ns) for p in points], AggregationTemporality.CUMULATIVE
        )
    else:
        data = Sum(
            [NumberDataPoint(p.attributes, p.start_ns, now_ns, int(p.total)) for p in points],
            AggregationTemporality.CUMULATIVE,
            is_monotonic=False,
        )
    return Metric(known.name, known.description, known.unit, data)


def _metric_read(observed: Observed, now_ns: int) -> Metric | None:
    readings = observed.readings()
    if not readings:
        return None
    known = observed.metric
    start_ns = None if observed.kind is Kind.GAUGE else observed.start_ns
    points = [NumberDataPoint(attributes, start_ns, now_ns, value) for value, attributes in readings]  # type: ignore[arg-type]
    data: Gauge | Sum
    if observed.kind is Kind.GAUGE:
        data = Gauge(points)
    else:
        data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=observed.kind is Kind.COUNT)
    return Metric(known.name, known.description, known.unit, data)


def _histogram_point(point: Point, boundaries: Iterable[float], now_ns: int) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=point.attributes,
        start_time_unix_nano=point.start_ns,
        time_unix_nano=now_ns,
        count=point.count,
        sum=point.total,
        bucket_counts=list(point.counts),
        explicit_bounds=list(boundaries),
        min=point.least,
        max=point.most,
        exemplars=[_exemplar(s) for s in point.sightings],
    )


def _exemplar(seen: Sighting) -> Exemplar:
    return Exemplar(seen.attributes, seen.value, seen.time_ns, seen.span_id, seen.trace_id)
