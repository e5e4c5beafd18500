"""Spans, log records and metrics -> the local telemetry file (feature F6 with nothing else installed).

Entry points `otel_session_local` of the traces, logs and metrics exporters. All of one process share one store.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from otel_session import attributes as names
from otel_session import config, wire
from otel_session.store import TelemetryStore
from otel_session.store.records import (
    FLAG_CONFIRMED,
    FLAG_ERROR,
    FLAG_REQUEST,
    FLAG_STATEMENT,
    LogRow,
    MetricRow,
    SpanRow,
)

_log = logging.getLogger("otel_session")
ERROR_SEVERITY = 17  # OTLP: ERROR and above
_stores: dict[str, TelemetryStore] = {}
_failing: set[str] = set()
_told: dict[str, object] = {}


def shared_store() -> TelemetryStore:
    """The store of the configuration in force, opened at its first use.

    Raises:
        StoreError: It cannot be opened; the message says what to do.
    """
    settings = config.active()
    path = str(settings.store_path)
    store = _stores.get(path)
    if store is None:
        # No lock, which a fork could leave taken: of two made at once, one is kept and the other closed.
        made = TelemetryStore(
            settings.store_path, max_bytes=settings.store_max_bytes, max_age_s=settings.store_max_age_s
        )
        store = _stores.setdefault(path, made)
        if store is not made:
            made.close()
    return store


def _write(what: str, write: Callable[[TelemetryStore], None]) -> bool:
    try:
        with suppress_instrumentation():
            write(shared_store())
    except Exception as error:
        say_failing(what, error)
        return False
    say_kept(what)
    return True


def say_failing(what: str, error: Exception) -> None:
    """Say that the store cannot keep something: when that begins, and once for spans, log records and metrics."""
    problem, first = str(error), object()
    if _told.setdefault(problem, first) is first:
        _log.error("otel-session cannot keep telemetry: %s", problem)
    _failing.add(what)


def say_kept(what: str) -> None:
    """Say that the store keeps something again, if it could not before."""
    if what not in _failing:
        return
    _failing.discard(what)
    if not _failing:
        _told.clear()
        _log.warning("otel-session keeps telemetry again.")


class LocalSpanExporter(SpanExporter):
    """Keeps spans in the local file."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write a batch in one transaction."""
        written = _write("spans", lambda store: store.write(spans=[span_row(s) for s in spans]))
        return SpanExportResult.SUCCESS if written else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Nothing to close: the file is shared, and each batch is a transaction of its own."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is held back."""
        return True


class LocalLogExporter(LogRecordExporter):
    """Keeps log records in the local file."""

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write a batch in one transaction."""
        written = _write("log records", lambda store: store.write(logs=[log_row(r) for r in batch]))
        return LogRecordExportResult.SUCCESS if written else LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        """Nothing to close."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is held back."""
        return True


class LocalMetricExporter(MetricExporter):
    """Keeps collected metrics in the local file."""

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Write a collection in one transaction."""
        now_ns = time.time_ns()

        def write(store: TelemetryStore) -> None:
            store.write(metrics=[_metric_row(m, now_ns) for m in wire.encode_metrics(metrics_data)])

        return MetricExportResult.SUCCESS if _write("metrics", write) else MetricExportResult.FAILURE

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Nothing to close."""

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing is held back."""
        return True


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
        flags |= FLAG_STATEMENT
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


def _metric_row(metric: wire.EncodedMetric, now_ns: int) -> MetricRow:
    origin = metric.origin
    return MetricRow(now_ns, metric.name, origin.resource, origin.scope, metric.body)


def _session_of(attributes: Any) -> str | None:
    found = attributes.get(names.SESSION_ID)
    return found if isinstance(found, str) else None
