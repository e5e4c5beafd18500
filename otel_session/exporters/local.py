"""Spans, log records and metrics -> the local telemetry file (feature F6 with nothing else installed).

Entry points `otel_session_local` of the traces, logs and metrics exporters. All of one process share one store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_session import wire
from otel_session.exporters.local_rows import log_row, metric_row, span_row
from otel_session.exporters.local_store import say_failing, say_kept, shared_store
from otel_session.store import TelemetryStore


def _write(what: str, write: Callable[[TelemetryStore], None]) -> bool:
    try:
        with suppress_instrumentation():
            write(shared_store())
    except Exception as error:
        say_failing(what, error)
        return False
    say_kept(what)
    return True


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
            store.write(metrics=[metric_row(m, now_ns) for m in wire.encode_metrics(metrics_data)])

        return MetricExportResult.SUCCESS if _write("metrics", write) else MetricExportResult.FAILURE

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Nothing to close."""

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing is held back."""
        return True
