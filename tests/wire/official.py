"""The reference: what the official encoder gives, and both sides as bytes that can be compared."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message
from opentelemetry.exporter.otlp.proto.common import _internal
from opentelemetry.exporter.otlp.proto.common._internal import _log_encoder
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import ReadableSpan

from otel_session.wire import encode_log_record, encode_span, frame_request, origin_of

encode_attributes_officially = _internal._encode_attributes
_encode_value = _internal._encode_value


def _encode_none_as_today(value: object, allow_null: bool = False) -> object:
    return _internal.PB2AnyValue() if value is None else _encode_value(value)


# Of the official encoders from 1.40 to 1.45, all that differs is None: the older leave out an attribute of a span with
# None in it, and a log record's body of None. The reference is what they do now.
if not encode_attributes_officially({"k": None}):
    _internal._encode_value = _log_encoder._encode_value = _encode_none_as_today


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
