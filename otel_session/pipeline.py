"""The pipeline of our own configuration: what ends is encoded at once and delivered by one thread a destination.

Given to the SDK's configurator in place of its batch processors. Where an exporter is not one of those we know, the
SDK's own batch processor takes it.
"""

from __future__ import annotations

import logging
from typing import Any

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_session import config
from otel_session.exporters import local_lane, otlp
from otel_session.wire.batches import Consumer
from otel_session.wire.encoders import Branch, EncodingLogProcessor, EncodingSpanProcessor
from otel_session.wire.lanes import Limits
from otel_session.wire.workers import Worker

_log = logging.getLogger("otel_session")


class Pipeline:
    """Makes the processors for one configuration. Spans and log records of one destination share a thread."""

    def __init__(self) -> None:
        self._settings = config.active()
        self._linger_s = config.linger_s()
        self._spans = EncodingSpanProcessor()
        self._logs = EncodingLogProcessor()
        self._workers: dict[str, Worker] = {}

    def span_processor(self, exporter: Any, *_: Any, **__: Any) -> SpanProcessor:
        """The processor for a span exporter."""
        branch = self._branch(exporter, "spans")
        if branch is None:
            return BatchSpanProcessor(exporter)
        first = not self._spans.branches
        self._spans.add(branch)
        return self._spans if first else SpanProcessor()

    def log_processor(self, exporter: Any, *_: Any, **__: Any) -> LogRecordProcessor:
        """The processor for a log record exporter."""
        branch = self._branch(exporter, "log records")
        if branch is None:
            return BatchLogRecordProcessor(exporter)
        first = not self._logs.branches
        self._logs.add(branch)
        return self._logs if first else _NoLogs()

    def _branch(self, exporter: Any, what: str) -> Branch | None:
        local = local_lane.consumer_for(exporter)
        if local is not None:
            return self._made("local", what, *local)
        consumer = otlp.consumer_for(exporter, what)
        if consumer is not None:
            return self._made("otlp", what, consumer, None)
        if type(exporter).__module__.startswith("opentelemetry.exporter.otlp."):
            _log.info("This OTLP exporter's transport is not as expected: its %s go by the SDK's own pipeline.", what)
        return None

    def _made(self, destination: str, what: str, consumer: Consumer, item: Any) -> Branch:
        settings = self._settings
        worker = self._workers.get(destination)
        if worker is None:
            worker = self._workers[destination] = Worker(destination, self._linger_s)
        limits = Limits(max_bytes=settings.queue_max_bytes, max_age_s=settings.queue_max_age_s)
        return Branch(worker.add_lane(what, consumer, limits), worker, item)


class _NoLogs(LogRecordProcessor):
    """Stands where another destination's processor does the work of this one too."""

    def on_emit(self, log_record: Any) -> None:
        pass

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True
