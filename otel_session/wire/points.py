"""Data points of metrics, and their exemplars, as protobuf messages.

Each function raises what protobuf raises for a value its field cannot hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    NumberDataPoint,
)

from ._repair import mask_id
from .key_values import IN_EXEMPLAR, IN_EXPONENTIAL_POINT, IN_HISTOGRAM_POINT, IN_NUMBER_POINT, encode_attributes

_INT_64 = range(-(1 << 63), 1 << 63)


def gauge_point(point: NumberDataPoint) -> pb.NumberDataPoint:
    """Build a point of a gauge. Its start time is left out, as the official encoder does."""
    message = pb.NumberDataPoint(time_unix_nano=_whole(point.time_unix_nano), exemplars=_exemplars(point.exemplars))
    _set_value(message, point.value)
    message.MergeFromString(encode_attributes(point.attributes, IN_NUMBER_POINT))
    return message


def sum_point(point: NumberDataPoint) -> pb.NumberDataPoint:
    """Build a point of a sum."""
    message = gauge_point(point)
    message.start_time_unix_nano = _whole(point.start_time_unix_nano)
    return message


def histogram_point(point: HistogramDataPoint) -> pb.HistogramDataPoint:
    """Build a point of a histogram with explicit bounds."""
    message = pb.HistogramDataPoint(
        time_unix_nano=_whole(point.time_unix_nano),
        start_time_unix_nano=_whole(point.start_time_unix_nano),
        exemplars=_exemplars(point.exemplars),
        count=point.count,
        sum=point.sum,
        bucket_counts=point.bucket_counts,
        explicit_bounds=point.explicit_bounds,
        max=point.max,
        min=point.min,
    )
    message.MergeFromString(encode_attributes(point.attributes, IN_HISTOGRAM_POINT))
    return message


def exponential_point(point: ExponentialHistogramDataPoint) -> pb.ExponentialHistogramDataPoint:
    """Build a point of an exponential histogram; a side without counts is left out."""
    buckets = pb.ExponentialHistogramDataPoint.Buckets
    positive, negative = (
        buckets(offset=side.offset, bucket_counts=side.bucket_counts) if side.bucket_counts else None
        for side in (point.positive, point.negative)
    )
    message = pb.ExponentialHistogramDataPoint(
        time_unix_nano=_whole(point.time_unix_nano),
        start_time_unix_nano=_whole(point.start_time_unix_nano),
        exemplars=_exemplars(point.exemplars),
        count=point.count,
        sum=point.sum,
        scale=point.scale,
        zero_count=point.zero_count,
        positive=positive,
        negative=negative,
        flags=point.flags,
        max=point.max,
        min=point.min,
    )
    message.MergeFromString(encode_attributes(point.attributes, IN_EXPONENTIAL_POINT))
    return message


def _exemplars(exemplars: Iterable[Exemplar]) -> list[pb.Exemplar]:
    return [_exemplar(exemplar) for exemplar in exemplars]


def _exemplar(exemplar: Exemplar) -> pb.Exemplar:
    message = pb.Exemplar(time_unix_nano=_whole(exemplar.time_unix_nano))
    if exemplar.span_id is not None and exemplar.trace_id is not None:
        message.span_id = mask_id(exemplar.span_id, 64).to_bytes(8, "big")
        message.trace_id = mask_id(exemplar.trace_id, 128).to_bytes(16, "big")
    _set_value(message, exemplar.value)
    message.MergeFromString(encode_attributes(exemplar.filtered_attributes, IN_EXEMPLAR))
    return message


def _set_value(message: pb.NumberDataPoint | pb.Exemplar, value: float) -> None:
    if isinstance(value, int) and int(value) in _INT_64:
        message.as_int = int(value)
    else:  # a sum beyond 64 bits, too: less exact, but there
        message.as_double = float(value)


def _whole(time_ns: int | None) -> Any:
    """A time as protobuf takes it; a test's own clock may have given a float."""
    return int(time_ns) if type(time_ns) is float else time_ns
