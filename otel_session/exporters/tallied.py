"""The tallies, as the SDK's own data classes, beside what SDK instruments measured: one export for both."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
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
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_session._version import __version__
from otel_session.tallies import Point, Sighting, Tally, all_tallies

_KNOWN = ("opentelemetry.exporter.otlp.proto.", "otel_session.exporters.")


def attach(meter_provider: Any) -> bool:
    """Let a provider's readers export the tallies.

    Returns:
        Whether all of them do: they are periodic, export by OTLP or into the local store, cumulatively and with
        explicit buckets. A reader of another kind (Prometheus, console, a vendor's) needs SDK instruments.
    """
    readers = getattr(meter_provider, "_metric_readers", None)
    if readers is None:  # before 1.4x
        readers = getattr(getattr(meter_provider, "_sdk_config", None), "metric_readers", None)
    if not readers or not all(_fits(reader) for reader in readers):
        return False
    for reader in readers:
        if not isinstance(reader._exporter, TalliedExporter):
            reader._exporter = TalliedExporter(reader._exporter, lambda: meter_provider._sdk_config.resource)
    return True


def _fits(reader: Any) -> bool:
    exporter = getattr(reader, "_exporter", None)
    if type(reader) is not PeriodicExportingMetricReader or exporter is None:
        return False
    if isinstance(exporter, TalliedExporter):
        return True
    if not type(exporter).__module__.startswith(_KNOWN):
        return False
    temporality = getattr(exporter, "_preferred_temporality", None) or {}
    aggregation = getattr(exporter, "_preferred_aggregation", None) or {}
    return all(t is AggregationTemporality.CUMULATIVE for t in temporality.values()) and all(
        isinstance(a, ExplicitBucketHistogramAggregation) for a in aggregation.values()
    )


class TalliedExporter:
    """An exporter that adds the tallies to each collection; all else is the exporter's own."""

    def __init__(self, exporter: Any, resource: Any) -> None:
        self._exporter = exporter
        self._resource = resource

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> Any:
        """Export a collection, the tallies with it."""
        return self._exporter.export(
            with_tallies(metrics_data, self._resource()), timeout_millis=timeout_millis, **kwargs
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exporter, name)


def with_tallies(data: MetricsData, resource: Resource) -> MetricsData:
    """A collection and what is tallied, as one."""
    scopes = [scope for found in data.resource_metrics for scope in found.scope_metrics]
    now_ns = time.time_ns()
    by_scope: dict[str, list[Metric]] = {}
    for tally in all_tallies():
        metric = _metric_of(tally, now_ns)
        if metric is not None:
            by_scope.setdefault(tally.metric.scope, []).append(metric)
    scopes += [ScopeMetrics(InstrumentationScope(name, __version__), metrics, "") for name, metrics in by_scope.items()]
    of = data.resource_metrics[0].resource if data.resource_metrics else resource
    url = data.resource_metrics[0].schema_url if data.resource_metrics else resource.schema_url
    return MetricsData([ResourceMetrics(of, scopes, url)])


def _metric_of(tally: Tally, now_ns: int) -> Metric | None:
    points = tally.read()
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
