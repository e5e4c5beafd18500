"""The pipeline of our own configuration: what ends is encoded at once and delivered by one thread for each far end.

Given to the SDK's configurator in place of its batch processors. Where an exporter is not one of those we know, the
SDK's own batch processor takes it.
"""

from __future__ import annotations

import logging
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import get_logger_provider
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_session import config
from otel_session.exporters import metric_readers, otlp, otlp_metrics, otlp_transport, tallied
from otel_session.wire import forks, self_metrics
from otel_session.wire.batches import Consumer
from otel_session.wire.encoders import Branch, EncodingLogProcessor, EncodingSpanProcessor
from otel_session.wire.endings import Patience
from otel_session.wire.lanes import Limits
from otel_session.wire.workers import Worker

_log = logging.getLogger("otel_session")

_LOCAL = "otel_session.exporters.local"
PATIENCE_S = 5.0
"""Longest time that delivering what is left may put off the end of the process, all destinations and signals."""


class Pipeline:
    """Makes the processors for one configuration. Spans and log records to one far end share a thread."""

    def __init__(self) -> None:
        settings = config.active()
        self._limits = Limits(max_bytes=settings.queue_max_bytes, max_age_s=settings.queue_max_age_s)
        self._linger_s = config.linger_s()
        self._spans = EncodingSpanProcessor()
        self._logs = EncodingLogProcessor()
        self._workers: dict[str, Worker] = {}
        self._patience = Patience(PATIENCE_S)
        self._told = False

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

    def transport(self, wanted: dict[str, Any]) -> AbstractContextManager[None]:
        """What to hold while the exporters are made.

        Args:
            wanted: The configurator's arguments.
        """
        names = {name for key, value in wanted.items() if key.endswith("_exporter_names") for name in value or ()}
        return otlp_transport.lighter(config.environment()) if "otlp_proto_http" in names else nullcontext()

    def take_metrics(self, meter_provider: Any) -> bool:
        """Care for the metric readers, deliver what they collect, add the tallies, and measure the pipeline itself.

        Returns:
            Whether the readers take what is tallied; if not, SDK instruments have to measure.
        """
        readers = tallied.readers_of(meter_provider)
        cared = metric_readers.care_for(readers, self._patience)
        if len(cared) < sum(type(reader) is PeriodicExportingMetricReader for reader in readers):
            self._tell_of_stranger(PeriodicExportingMetricReader)
        for reader in cared:
            reader.exporter = self._metric_exporter(reader.exporter)
        forks.when_untold(lambda: _tell_of_fork(meter_provider, cared))
        if readers:
            self_metrics.observe([c for worker in self._workers.values() for c in worker.couriers], meter_provider)
        return tallied.attach(meter_provider)

    def _branch(self, exporter: Any, what: str) -> Branch | None:
        if _LOCAL in sys.modules:  # else nobody has made such an exporter, and the store stays unloaded
            from otel_session.exporters import local_lane

            local = local_lane.consumer_for(exporter)
            if local is not None:
                consumer, item = local
                return Branch(*self._lane(what, consumer), item, local_lane.AROUND_A_ROW)
        over = otlp.consumer_for(exporter, what)
        if over is not None:
            return Branch(*self._lane(what, over))
        self._tell_if_stranger(exporter)
        return None

    def _metric_exporter(self, exporter: MetricExporter) -> MetricExporter:
        over = otlp.consumer_for(exporter, "data points")
        if over is None:
            self._tell_if_stranger(exporter)
            return exporter
        worker = self._worker(over.name)
        lane = worker.add_metric_lane("data points", otlp_metrics.MetricConsumer(over), self._limits)
        return otlp_metrics.LaneExporter(lane, worker)

    def _tell_if_stranger(self, exporter: Any) -> None:
        if type(exporter).__module__.startswith("opentelemetry.exporter.otlp."):
            self._tell_of_stranger(type(exporter))

    def _tell_of_stranger(self, kind: type) -> None:
        if self._told:
            return
        self._told = True
        _log.warning(
            "%s is not as otel-session expects it: what it is given goes by OpenTelemetry's own pipeline, at a higher "
            "cost. A newer otel-session may know it.",
            f"{kind.__module__}.{kind.__name__}",
        )

    def _lane(self, what: str, consumer: Consumer) -> tuple[Any, Worker]:
        worker = self._worker(consumer.name)
        return worker.add_lane(what, consumer, self._limits), worker

    def _worker(self, destination: str) -> Worker:
        worker = self._workers.get(destination)
        if worker is None:
            worker = self._workers[destination] = Worker(destination, self._linger_s, self._patience)
        return worker


def _tell_of_fork(meter_provider: Any, readers: list[metric_readers.CaredReader]) -> None:
    """Do what the SDK would have done in a child that Python was not told of: a new instance id, running threads."""
    for provider in (trace.get_tracer_provider(), get_logger_provider(), meter_provider):
        handle = getattr(provider, "_handle_fork", None)
        if handle is not None:
            handle()
    for reader in readers:
        reader.restart()


class _NoLogs(LogRecordProcessor):
    """Stands where another destination's processor does the work of this one too."""

    adds_only_ids = True  # not even these: log records may go the short way past it

    def on_emit(self, log_record: Any) -> None:
        pass

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True
