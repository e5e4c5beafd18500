"""OTLP requests built by hand, for what only a real Collector can answer."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Exemplar,
    Histogram,
    HistogramDataPoint,
    Metric,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

Value = str | bool | int | float | list[str]
Attributes = Mapping[str, Value]


def traces(resource: Attributes, span_name: str, attributes: Attributes) -> bytes:
    """Encode one server span of 10 ms that ends now."""
    now = time.time_ns()
    span = Span(
        trace_id=os.urandom(16),
        span_id=os.urandom(8),
        name=span_name,
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=now - 10_000_000,
        end_time_unix_nano=now,
        attributes=_key_values(attributes),
    )
    spans = ResourceSpans(resource=_resource(resource), scope_spans=[ScopeSpans(spans=[span])])
    return _encode(ExportTraceServiceRequest(resource_spans=[spans]))


def logs(resource: Attributes, body: str, attributes: Attributes) -> bytes:
    """Encode one log record of now."""
    record = LogRecord(
        time_unix_nano=time.time_ns(),
        body=AnyValue(string_value=body),
        attributes=_key_values(attributes),
    )
    records = ResourceLogs(resource=_resource(resource), scope_logs=[ScopeLogs(log_records=[record])])
    return _encode(ExportLogsServiceRequest(resource_logs=[records]))


def request_duration(resource: Attributes, attributes: Attributes, *, seconds: float, trace_id: bytes) -> bytes:
    """Encode `http.server.request.duration` with one request, and that request's trace as the exemplar."""
    now = time.time_ns()
    point = HistogramDataPoint(
        start_time_unix_nano=now - 1_000_000_000,
        time_unix_nano=now,
        count=1,
        sum=seconds,
        bucket_counts=[0, 1, 0],
        explicit_bounds=[seconds / 2, seconds * 2],
        attributes=_key_values(attributes),
        exemplars=[Exemplar(time_unix_nano=now, as_double=seconds, trace_id=trace_id, span_id=os.urandom(8))],
    )
    cumulative = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    metric = Metric(
        name="http.server.request.duration",
        unit="s",
        histogram=Histogram(data_points=[point], aggregation_temporality=cumulative),
    )
    metrics = ResourceMetrics(resource=_resource(resource), scope_metrics=[ScopeMetrics(metrics=[metric])])
    return _encode(ExportMetricsServiceRequest(resource_metrics=[metrics]))


def _encode(request: ExportTraceServiceRequest | ExportMetricsServiceRequest | ExportLogsServiceRequest) -> bytes:
    message: bytes = request.SerializeToString()
    return message


def _resource(attributes: Attributes) -> Resource:
    return Resource(attributes=_key_values(attributes))


def _key_values(attributes: Attributes) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in attributes.items()]


def _any_value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    return AnyValue(array_value=ArrayValue(values=[_any_value(each) for each in value]))
