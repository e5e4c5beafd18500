"""Metrics over HTTP and gRPC wait for a far end that fails, as spans do: one line, counted, and nobody else waits."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from otel_session import config
from otel_session.exporters.otlp_metrics import LaneExporter
from otel_session.pipeline import Pipeline
from otel_session.wire.couriers import Courier
from tests.pipeline.far_end import OK, Answer, FarEnd, far_end
from tests.pipeline.made import PROTOCOLS, lines_of, wait_until
from tests.pipeline.test_self_metrics import read

BEGAN, AGAIN = "cannot deliver", "again, after"
pytestmark = pytest.mark.parametrize("protocol", PROTOCOLS)


class Made:
    """A meter provider whose one reader exports by our pipeline when it is told to.

    Attributes:
        own: Gives the pipeline's own metrics.
    """

    def __init__(self, exporter: Any, **settings: Any) -> None:
        config.activate(config.Config.load(**settings))
        try:
            self.pipeline = Pipeline()
        finally:
            config.activate(None)
        self.own = InMemoryMetricReader()
        self.reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
        self.provider = MeterProvider(
            [self.reader, self.own], Resource({"service.name": "shop"}), shutdown_on_exit=False
        )
        self.pipeline.take_metrics(self.provider)
        self.counter = self.provider.get_meter("tests").create_counter("deals.opened")

    @property
    def courier(self) -> Courier:
        exporter: Any = self.reader._exporter
        assert type(exporter) is LaneExporter
        (courier,) = exporter._worker.couriers
        return courier

    @property
    def dropped(self) -> dict[str, int]:
        return dict(self.courier.lane.counts.dropped)

    def measure(self, timeout_ms: float = 5_000) -> float:
        """Count one more, and have all collected and delivered in time; how long that took, in seconds."""
        self.counter.add(1)
        started_s = time.monotonic()
        self.reader.force_flush(timeout_ms)
        return time.monotonic() - started_s


@contextmanager
def made(url: str, protocol: str, timeout_s: float = 0.5, **settings: Any) -> Iterator[Made]:
    if protocol == "grpc":
        found = Made(GrpcExporter(endpoint=url, timeout=timeout_s), **settings)
    else:
        found = Made(HttpExporter(endpoint=f"{url}/v1/metrics", timeout=timeout_s), **settings)
    try:
        yield found
    finally:
        found.provider.shutdown()


def counted(end: FarEnd) -> list[int]:
    """The counter's values, in the order in which they arrived."""
    metrics = [m for of in end.metrics for scope in of.scope_metrics for m in scope.metrics]
    return [m.sum.data_points[0].as_int for m in metrics if m.name == "deals.opened"]


def test_each_once(protocol: str) -> None:
    """A collection arrives whole, with its resource, once."""
    with far_end(protocol) as end, made(end.url, protocol) as ours:
        assert ours.measure() < 1
        assert ours.measure() < 1
        assert counted(end) == [1, 2]
        assert end.metrics[0].resource.attributes[0].value.string_value == "shop"
        assert end.repeated == 0
    assert counted(end) == [1, 2, 2]  # the last at the end


def test_dead_from_the_start(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody listens: each collection waits, in its order, and arrives when somebody does; one line each way."""
    with far_end(protocol, up=False) as end, made(end.url, protocol) as ours:
        for _ in range(5):
            assert ours.measure(50) < 0.5
        wait_until(lambda: lines_of(caplog, BEGAN))
        assert ours.courier.lane.held_count >= 5
        figures = read(ours.own)
        assert figures["otel.sdk.exporter.metric_data_point.inflight"][""] == ours.courier.lane.held_count
        assert figures["otel.sdk.exporter.metric_data_point.exported"] == {"": 0}
        assert sum(figures["otel.sdk.exporter.operation.duration"].values()) >= 1
        end.up()
        wait_until(lambda: ours.measure(1_000) and counted(end)[:5] == [1, 2, 3, 4, 5])
        wait_until(lambda: lines_of(caplog, AGAIN))
        assert ours.dropped == {}
    assert len(caplog.records) == 2
    assert " data points, for at most 600 s" in lines_of(caplog, BEGAN)[0]


def test_refused_for_good(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    """A collection answered with 400 is dropped and counted in data points; the next one goes its way."""
    with far_end(protocol) as end, made(end.url, protocol) as ours:
        end.answer = Answer(400)
        ours.measure()
        cause = "400" if protocol == "http" else "INVALID_ARGUMENT"
        assert list(ours.dropped) == [cause]
        assert read(ours.own)["otel.sdk.exporter.metric_data_point.exported"][cause] == ours.dropped[cause]
        asked = len(end.at_s)
        end.answer = OK
        ours.measure()
        assert len(end.at_s) == asked + 1
        assert counted(end) == [2]
    assert len(lines_of(caplog, BEGAN)) == 1


def test_never_answers(protocol: str) -> None:
    """A far end that takes a collection and says nothing: a flush is over in time, and so is the end."""
    with far_end(protocol) as end, made(end.url, protocol, 10.0) as ours:
        end.answer = Answer(how="never")
        assert ours.measure(200) < 0.5
        started_s = time.monotonic()
        ours.provider.shutdown()
        assert time.monotonic() - started_s < 5.5
        assert ours.dropped["shutdown_timeout"] > 0


def test_too_large(protocol: str) -> None:
    """What a far end finds too large goes in halves; a metric that is too large alone is dropped, no other is."""
    with far_end(protocol) as end, made(end.url, protocol) as ours:
        end.most_bytes = 2_000
        long = ours.provider.get_meter("tests").create_counter("long")
        for number in range(60):
            long.add(1, {"customer": f"{number:0100}"})
        ours.measure()
        names = {m.name for of in end.metrics for scope in of.scope_metrics for m in scope.metrics}
        assert counted(end) == [1]
        assert "long" not in names
        assert sum(ours.dropped.values()) >= 60


def test_no_room(protocol: str) -> None:
    """Collections beyond the cap push out the oldest ones, counted; memory stays within it."""
    with far_end(protocol, up=False) as end, made(end.url, protocol, queue_max_bytes=1 << 20) as ours:
        for number in range(1_500):
            ours.counter.add(1, {"customer": f"{number:0100}"})
        for _ in range(12):
            ours.measure(100)
            assert ours.courier.lane.held_bytes <= 1 << 20
        assert ours.dropped["queue_full"] >= 1_500
