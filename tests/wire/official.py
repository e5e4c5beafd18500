"""The reference: what the official encoder gives, and both sides as bytes that can be compared."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import ReadableSpan

from otel_session.wire import encode_log_record, encode_span, frame_request, origin_of


def canonical(message: Message) -> bytes:
    """Give bytes that are equal when messages are, NaN, the sign of zero and unknown fields included."""
    return message.SerializeToString(deterministic=True)


def decoded_span(span: ReadableSpan) -> Span:
    return Span.FromString(encode_span(span))


def decoded_record(record: ReadableLogRecord) -> LogRecord:
    return LogRecord.FromString(encode_log_record(record))


def our_trace_request(spans: Iterable[ReadableSpan]) -> bytes:
    request = frame_request((origin_of(s.resource, s.instrumentation_scope), [encode_span(s)]) for s in spans)
    return canonical(ExportTraceServiceRequest.FromString(request))


def official_trace_request(spans: Iterable[ReadableSpan]) -> bytes:
    return canonical(encode_spans(list(spans)))


def our_logs_request(records: Iterable[ReadableLogRecord]) -> bytes:
    request = frame_request(
        (origin_of(record.resource, record.instrumentation_scope), [encode_log_record(record)]) for record in records
    )
    return canonical(ExportLogsServiceRequest.FromString(request))


def official_logs_request(records: Iterable[ReadableLogRecord]) -> bytes:
    return canonical(encode_logs(list(records)))
