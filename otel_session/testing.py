"""For tests, ours and users': telemetry caught in memory, and span trees as plain data.

with testing.captured() as telemetry:
    otel_session.instrument(app=app, **telemetry.providers)
    app.test_client().get("/deals")
    assert testing.tree(telemetry.spans())[0]["name"] == "GET /deals"
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler


class Captured:
    """Providers of the SDK's own that keep what they get in memory.

    Attributes:
        providers: `tracer_provider`, `meter_provider` and `logger_provider`, as keyword arguments for `instrument`.
    """

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._spans = InMemorySpanExporter()
        self._logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self._reader = InMemoryMetricReader()
        tracer_provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        logger_provider = LoggerProvider(shutdown_on_exit=False)
        logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.providers: dict[str, Any] = {
            "tracer_provider": tracer_provider,
            "meter_provider": meter_provider,
            "logger_provider": logger_provider,
        }

    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in that order."""
        return list(self._spans.get_finished_spans())

    def logs(self) -> list[ReadableLogRecord]:
        """The log records and events emitted."""
        return list(self._logs.get_finished_logs())

    def points(self, metric: str) -> list[Any]:
        """The data points of one metric, collected now."""
        data = self._reader.get_metrics_data()
        found = []
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                found += [p for m in scope.metrics if m.name == metric for p in m.data.data_points]
        return found

    def clear(self) -> None:
        """Forget spans and log records."""
        self._spans.clear()
        self._logs.clear()

    def shutdown(self) -> None:
        """Shut the providers down."""
        for provider in self.providers.values():
            provider.shutdown()


@contextmanager
def captured(sampler: Sampler | None = None) -> Iterator[Captured]:
    """Providers for the time of a block. They are not made global."""
    telemetry = Captured(sampler)
    try:
        yield telemetry
    finally:
        telemetry.shutdown()


def tree(spans: Iterable[ReadableSpan]) -> list[dict[str, Any]]:
    """Spans as nested plain data: name, kind, status, attributes, children; ordered by start.

    A span whose parent is not among them is a root.
    """
    ordered = sorted(spans, key=lambda s: s.start_time or 0)
    nodes = {s.context.span_id: _node(s) for s in ordered}
    roots: list[dict[str, Any]] = []
    for span in ordered:
        parent = nodes.get(span.parent.span_id) if span.parent is not None else None
        (roots if parent is None else parent["children"]).append(nodes[span.context.span_id])
    return roots


def _node(span: ReadableSpan) -> dict[str, Any]:
    return {
        "name": span.name,
        "kind": span.kind.name,
        "status": span.status.status_code.name,
        "attributes": dict(span.attributes or {}),
        "children": [],
    }
