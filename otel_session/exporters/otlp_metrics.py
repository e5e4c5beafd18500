"""Metrics on the way of spans and log records: they wait in a lane and leave by the thread of their far end.

The official exporters send in the reader's thread. Over gRPC an attempt there cannot be cut short: a far end that is
dead holds the end of the process, and each export writes its own lines.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData

from otel_session import wire
from otel_session.wire import forks
from otel_session.wire.batches import Batch, Consumer, Outcome
from otel_session.wire.metric_lanes import Collection, MetricLane
from otel_session.wire.workers import Worker


class MetricConsumer:
    """An OTLP consumer of metrics. One metric alone has no halves, however many data points it has."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.name, self.kind = consumer.name, consumer.kind

    def consume(self, batch: Batch, timeout_s: float | None = None) -> Outcome:
        """Send a collection."""
        outcome = self._consumer.consume(batch, timeout_s)
        whole = isinstance(batch, Collection) and not batch.divisible
        return outcome._replace(too_large=False) if whole else outcome

    def watch(self, trouble: Callable[[Outcome], None]) -> None:
        """Hear of a failure while an attempt goes on."""
        self._consumer.watch(trouble)

    def hasten(self) -> None:
        """Repeat no attempt."""
        self._consumer.hasten()

    def end(self) -> None:
        """Give up an attempt under way."""
        self._consumer.end()

    def after_fork(self) -> None:
        """Let go of the parent's connections."""
        self._consumer.after_fork()


class LaneExporter(MetricExporter):
    """Stands in a metric reader for the official exporter, whose transport its worker uses."""

    def __init__(self, lane: MetricLane, worker: Worker) -> None:
        super().__init__()
        self._lane = lane
        self._worker = worker
        self.after_fork()
        forks.renew(self)

    def after_fork(self) -> None:
        """Remember what threads are: the reader's begins now, too, and gevent may replace them later."""
        self._get_ident = threading.get_ident

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Encode a collection and let it wait; never for the far end."""
        # A thread of before gevent came must not ring for a greenlet, and one it started would never run.
        wake = threading.get_ident is self._get_ident
        self._lane.put_collection(wire.encode_metrics(metrics_data), wake=wake)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Hand over what waits, in time or not at all."""
        return self._worker.flush(timeout_millis / 1e3)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Deliver what can be delivered in time, and take nothing more."""
        self._worker.close(self._lane)
