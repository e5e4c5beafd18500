"""A private name of OpenTelemetry's that has moved: one log line, and its own pipeline delivers everything.

A name is hidden from our modules alone, so that those it belongs to work on.
"""

import inspect
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from otel_session.exporters import metric_readers, otlp_attempts, otlp_connections, otlp_grpc, otlp_http
from otel_session.pipeline import Pipeline
from tests.pipeline.far_end import Served, far_end
from tests.pipeline.made import exporter_to, lines_of

LINE = "is not as otel-session expects it"
HTTP = (
    "_client",
    "_client.export",
    "_client._timeout",
    "_client._shutdown_event",
    "_client._logger",
    "_client._transport",
    "_client._transport.request",
    "_client._transport.close",
)
GRPC = ("_channel", "_headers", "_timeout", "_retryable_error_codes", "_initialize_channel_and_stub", "_insecure")
READER = ("_export_lock", "_exporter", "_collect", "_at_fork_reinit", "_set_collect_callback", "_shutdown_event")
MOVED = [("http", name) for name in HTTP] + [("grpc", name) for name in GRPC]


def hiding(name: str) -> Callable[[Any, str], Any]:
    """A `__getattribute__` by which our modules do not find a name."""

    def get(self: Any, wanted: str) -> Any:
        if wanted == name and str(sys._getframe(1).f_globals["__name__"]).startswith("otel_session"):
            raise AttributeError(wanted)
        return object.__getattribute__(self, wanted)

    return get


def hide(whose: Any, path: str) -> Any:
    """Hide what is at the end of a path; the object the path begins at."""
    *way, name = path.split(".")
    owner = whose
    for step in way:
        owner = getattr(owner, step)
    kind = type(owner)
    owner.__class__ = type(kind.__name__, (kind,), {"__getattribute__": hiding(name), "__module__": kind.__module__})
    return whose


def exporters(end: Served, protocol: str) -> tuple[Any, Any, Any]:
    if protocol == "grpc":
        return exporter_to(end.url, "grpc"), GrpcLogs(endpoint=end.url), GrpcMetrics(endpoint=end.url)
    return (
        exporter_to(end.url),
        HttpLogs(endpoint=f"{end.url}/v1/logs"),
        HttpMetrics(endpoint=f"{end.url}/v1/metrics"),
    )


def deliver(end: Served, protocol: str, change: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
    """Send a span, a log record and a measurement by exporters changed like this; what took them in our pipeline."""
    pipeline = Pipeline()
    of_spans, of_logs, of_metrics = map(change, exporters(end, protocol))
    spans, logs = pipeline.span_processor(of_spans), pipeline.log_processor(of_logs)
    tracers, loggers = TracerProvider(ALWAYS_ON), LoggerProvider()
    reader = PeriodicExportingMetricReader(of_metrics, export_interval_millis=3_600_000)
    meters = MeterProvider([reader], shutdown_on_exit=False)
    pipeline.take_metrics(meters)
    tracers.add_span_processor(spans)
    loggers.add_log_record_processor(logs)
    tracers.get_tracer("tests").start_span("a").end()
    loggers.get_logger("tests").emit(body="b")
    meters.get_meter("tests").create_counter("c").add(1)
    for provider in (tracers, loggers, meters):
        assert provider.force_flush()
        provider.shutdown()
    assert (end.names, end.logs) == ({"a": 1}, {"b": 1})
    assert "c" in {m.name for of in end.metrics for scope in of.scope_metrics for m in scope.metrics}
    return spans, logs, object.__getattribute__(reader, "_exporter")


@pytest.mark.parametrize(("protocol", "name"), MOVED)
def test_of_an_exporter(protocol: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """One line for all three signals; the SDK's own processors and the official exporters deliver."""
    with far_end(protocol) as end:
        spans, logs, exporter = deliver(end, protocol, lambda exporter: hide(exporter, name))
    assert type(spans) is BatchSpanProcessor
    assert type(logs) is BatchLogRecordProcessor
    assert type(exporter).__name__ == "OTLPMetricExporter"
    assert len(lines_of(caplog, LINE)) == 1
    assert f"opentelemetry.exporter.otlp.proto.{protocol}." in lines_of(caplog, LINE)[0]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_nothing_has_moved(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    """With all names in place our pipeline delivers, without a word."""
    with far_end(protocol) as end:
        made = deliver(end, protocol, lambda exporter: exporter)
    assert [type(each).__module__.split(".")[0] for each in made] == ["otel_session"] * 3
    assert caplog.records == []


class Renamed:
    """What a transport's or a client's method gives in some other release."""

    code: int


@pytest.mark.parametrize("method", ["_client.export", "_client._transport.request"])
def test_of_an_answer(method: str, caplog: pytest.LogCaptureFixture) -> None:
    """An answer with other names than those we read is noticed before the first request."""

    def change(exporter: Any) -> Any:
        *way, name = method.split(".")
        owner = exporter
        for step in way:
            owner = getattr(owner, step)
        real = getattr(owner, name)
        if name == "export":
            owner.export = lambda data: real(data)
        else:
            owner.request = lambda *a, **k: real(*a, **k)
        getattr(owner, name).__annotations__["return"] = Renamed
        return exporter

    with far_end() as end:
        spans, *_ = deliver(end, "http", change)
    assert type(spans) is BatchSpanProcessor
    assert len(lines_of(caplog, LINE)) == 1


@pytest.mark.parametrize("name", READER)
def test_of_a_metric_reader(name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that is not as we know it is left alone, and one line says so."""
    monkeypatch.setattr(PeriodicExportingMetricReader, "__getattribute__", hiding(name))
    with far_end() as end:
        *_, exporter = deliver(end, "http", lambda exporter: exporter)
    assert type(exporter) is HttpMetrics
    assert len(lines_of(caplog, LINE)) == 1


def test_every_name_is_here() -> None:
    """The names hidden above are all that our modules take of exporters and readers, defaulted look-ups aside."""
    taken = set()
    for module in (otlp_grpc, otlp_http, otlp_attempts, otlp_connections, metric_readers):
        source = inspect.getsource(module)
        taken.update(re.findall(r"(?:exporter|_client|client|_reader|reader)\.(_[a-z]\w+)", source))
    assert taken <= {*GRPC, *READER, *(name for path in HTTP for name in path.split("."))}
    assert set(otlp_grpc._NAMES) == set(GRPC)
