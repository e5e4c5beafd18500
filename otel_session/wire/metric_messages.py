"""An SDK metric as protobuf's own message. Imported when there is a metric to send: protobuf takes its time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogram,
    Gauge,
    Histogram,
    Metric,
    Sum,
)

from ._repair import to_text
from ._report import report_once
from .points import exponential_point, gauge_point, histogram_point, sum_point

Message = TypeVar("Message")
Point = TypeVar("Point")


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
