"""A finished span, a log record and a collected metric as the store takes them."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from otel_session import attributes as names
from otel_session import wire
from otel_session.store.records import (
    FLAG_CONFIRMED,
    FLAG_ERROR,
    FLAG_REQUEST,
    FLAG_STATEMENT,
    LogRow,
    MetricRow,
    SpanRow,
)

ERROR_SEVERITY = 17
"""OTLP: ERROR and above."""


def span_row(span: ReadableSpan, origin: wire.Origin | None = None, body: bytes | None = None) -> SpanRow:
    """A finished span as the store takes it; origin and bytes may be given when they are made already."""
    attributes = span.attributes or {}
    context, parent = span.context, span.parent
    flags = 0
    if span.status.status_code is StatusCode.ERROR:
        flags |= FLAG_ERROR
    if span.kind is SpanKind.SERVER:
        flags |= FLAG_REQUEST
    elif span.kind is SpanKind.CLIENT and (names.DB_SYSTEM_NAME in attributes or names.OLD_DB_SYSTEM in attributes):
        flags |= 0 if span.name in names.DB_NO_STATEMENTS else FLAG_STATEMENT
    if attributes.get(names.SESSION_CONFIRMED):
        flags |= FLAG_CONFIRMED
    origin = origin or wire.origin_of(span.resource, span.instrumentation_scope)
    return SpanRow(
        session_id=_session_of(attributes),
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        parent_span_id=parent.span_id.to_bytes(8, "big") if parent is not None else b"",
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        name=span.name,
        flags=flags,
        resource=origin.resource,
        scope=origin.scope,
        body=body or wire.encode_span(span),
    )


def log_row(record: ReadableLogRecord, origin: wire.Origin | None = None, body: bytes | None = None) -> LogRow:
    """A log record as the store takes it; origin and bytes may be given when they are made already."""
    log = record.log_record
    severity = getattr(log.severity_number, "value", 0) or 0
    flags = FLAG_ERROR if severity >= ERROR_SEVERITY else 0
    if log.event_name == names.EVENT_SESSION_START:
        flags |= FLAG_CONFIRMED
    origin = origin or wire.origin_of(record.resource, record.instrumentation_scope)
    return LogRow(
        session_id=_session_of(log.attributes or {}),
        trace_id=log.trace_id.to_bytes(16, "big") if log.trace_id else b"",
        span_id=log.span_id.to_bytes(8, "big") if log.span_id else b"",
        time_ns=log.timestamp or log.observed_timestamp or 0,
        severity=severity,
        event_name=log.event_name or "",
        flags=flags,
        resource=origin.resource,
        scope=origin.scope,
        body=body or wire.encode_log_record(record),
    )


def metric_row(metric: wire.EncodedMetric, now_ns: int) -> MetricRow:
    """A collected metric as the store takes it."""
    origin = metric.origin
    return MetricRow(now_ns, metric.name, origin.resource, origin.scope, metric.body)


def _session_of(attributes: Any) -> str | None:
    found = attributes.get(names.SESSION_ID)
    return found if isinstance(found, str) else None
