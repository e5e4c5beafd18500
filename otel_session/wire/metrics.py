"""`opentelemetry.proto.metrics.v1.Metric`: what an SDK reader collected, to bytes.

Built from protobuf's own messages: this runs once a minute, not once a request. Equal, once decoded, to what
`opentelemetry-exporter-otlp-proto-common` gives. Where that encoder raises, and loses the whole collection, the data
point it stumbled over is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._repair import to_text
from .origins import Origin, origin_of

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData


class EncodedMetric(NamedTuple):
    """One metric with its data points: `body` is a `Metric` message, without tag or length, `points` their number."""

    origin: Origin
    name: str
    body: bytes
    points: int


def encode_metrics(data: MetricsData) -> list[EncodedMetric]:
    """Encode each metric of a collection, in its order. A scope without metrics gives nothing."""
    # Protobuf and the SDK's metrics take 30 ms to import: what has no metrics to send need not pay that at its start.
    from .metric_messages import encode_metric

    return [
        EncodedMetric(
            origin_of(of_resource.resource, of_scope.scope),
            to_text(metric.name),
            encode_metric(metric),
            len(getattr(metric.data, "data_points", ())),
        )
        for of_resource in data.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
    ]
