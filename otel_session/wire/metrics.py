"""`opentelemetry.proto.metrics.v1.Metric`: what an SDK reader collected, to bytes.

Built from protobuf's own messages: this runs once a minute, not once a request. Equal, once decoded, to what
`opentelemetry-exporter-otlp-proto-common` gives. Where that encoder raises, and loses the whole collection, the data
point it stumbled over is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogram,
    Gauge,
    Histogram,
    Metric,
    MetricsData,
    Sum,
)

from ._repair import to_text
from ._report import report_once
from .origins import Origin, origin_of
from .points import exponential_point, gauge_point, histogram_point, sum_point

Message = TypeVar("Message")
Point = TypeVar("Point")


class EncodedMetric(NamedTuple):
    """One metric with its data points: `body` is a `Metric` message, without tag or length."""

    origin: Origin
    name: str
    body: bytes


def encode_metrics(data: MetricsData) -> list[EncodedMetric]:
    """Encode each metric of a collection, in its order. A scope without metrics gives nothing."""
    return [
        EncodedMetric(origin_of(of_resource.resource, of_scope.scope), to_text(metric.name), encode_metric(metric))
        for of_resource in data.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
    ]


def encode_metric(metric: Metric) -> bytes:
    """Encode one metric as a `Metric` message, without tag or length. A kind OTLP does not know has no points."""
    message = pb.Metric(name=to_text(metric.name), description=to_text(metric.description), unit=to_text(metric.unit))
    data = metric.data
    # Without points `data` stays unset, hence the loops' conditions: the official encoder does the same.
    if isinstance(data, Gauge):
        for number in _build(metric, data.data_points, gauge_point):
            message.gauge.data_points.append(number)
    elif isinstance(data, Sum):
        for number in _build(metric, data.data_points, sum_point):
            message.sum.data_points.append(number)
            message.sum.aggregation_temporality = _temporality(data)
            message.sum.is_monotonic = data.is_monotonic
    elif isinstance(data, Histogram):
        for point in _build(metric, data.data_points, histogram_point):
            message.histogram.data_points.append(point)
            message.histogram.aggregation_temporality = _temporality(data)
    elif isinstance(data, ExponentialHistogram):
        for exponential in _build(metric, data.data_points, exponential_point):
            message.exponential_histogram.data_points.append(exponential)
            message.exponential_histogram.aggregation_temporality = _temporality(data)
    encoded: bytes = message.SerializeToString()
    return encoded


def _build(metric: Metric, points: Iterable[Point], build: Callable[[Point], Message]) -> Iterator[Message]:
    for point in points:
        try:
            yield build(point)
        except Exception as error:
            report_once("metric's data point", metric.name, error)


def _temporality(data: Sum | Histogram | ExponentialHistogram) -> pb.AggregationTemporality.ValueType:
    return pb.AggregationTemporality.ValueType(int(data.aggregation_temporality))
