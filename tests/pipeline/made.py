"""Our pipeline in this process, to a far end of the test's own, with the official exporters as the SDK makes them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from otel_session import config
from otel_session.exporters.otlp_transport import lighter
from otel_session.pipeline import Pipeline
from otel_session.wire.couriers import Courier
from otel_session.wire.lanes import Lane
from otel_session.wire.workers import Worker

PROTOCOLS = ("http", "grpc")
TRANSPORTS = ("http", "requests", "grpc")
"""`http` goes by urllib3's transport, as at zero-code start-up; `requests` as the official exporter does by itself."""


class Made:
    """A provider with our processor to one exporter.

    Attributes:
        courier: Of the one lane there is.
    """

    def __init__(self, exporter: Any) -> None:
        self.pipeline = Pipeline()
        self.processor: Any = self.pipeline.span_processor(exporter)
        self.provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource({"service.name": "shop"}))
        self.provider.add_span_processor(self.processor)
        self.tracer = self.provider.get_tracer("tests")

    @property
    def worker(self) -> Worker:
        return self.processor.branches[0].worker

    @property
    def courier(self) -> Courier:
        return self.worker.couriers[0]

    @property
    def lane(self) -> Lane:
        return self.courier.lane

    def spans(self, count: int, first: int = 0) -> None:
        """End spans named by their numbers."""
        for number in range(first, first + count):
            self.tracer.start_span(str(number)).end()

    @property
    def dropped(self) -> dict[str, int]:
        return dict(self.lane.counts.dropped)


def exporter_to(url: str, protocol: str = "http", timeout_s: float = 10.0, **options: Any) -> Any:
    """The official span exporter, of one of TRANSPORTS."""
    if protocol == "grpc":
        return GrpcExporter(endpoint=url, timeout=timeout_s, **options)
    with lighter(os.environ) if protocol == "http" else contextlib.nullcontext():
        return HttpExporter(endpoint=f"{url}/v1/traces", timeout=timeout_s, **options)


@contextlib.contextmanager
def made(exporter: Any, *, linger_s: float = 0.05, **settings: Any) -> Iterator[Made]:
    """Our pipeline with these settings, shut down at the end."""
    delay = {"OTEL_BSP_SCHEDULE_DELAY": str(linger_s * 1e3)}
    with mock.patch.dict(os.environ, delay):
        config.activate(config.Config.load(**settings))
        try:
            found = Made(exporter)
        finally:
            config.activate(None)
    try:
        yield found
    finally:
        found.provider.shutdown()


def wait_until(fact: Callable[[], object], within_s: float = 15.0) -> float:
    """Wait for a fact; how long it took, in seconds."""
    started_s = time.monotonic()
    while not fact():
        assert time.monotonic() - started_s < within_s, "it did not come true in time"
        time.sleep(0.005)
    return time.monotonic() - started_s


def lines_of(caplog: Any, words: str) -> list[str]:
    """The log lines with these words."""
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]
