"""The exporters into the local store: every signal, failures told once, forks and threads."""

import logging
import os
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.util._importlib_metadata import entry_points

from otel_session import bound_session, config
from otel_session.config import Config
from otel_session.exporters import local_store
from otel_session.exporters.local import LocalLogExporter, LocalMetricExporter, LocalSpanExporter
from otel_session.processors import IdentityLogProcessor, IdentitySpanProcessor
from otel_session.store import StoreReader, TelemetryStore
from tests.started import Telemetry


@pytest.fixture
def path(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A store's path, in force."""
    config.activate(Config.load({}, store=tmp_path / "t.db"))
    yield tmp_path / "t.db"
    for store in local_store._stores.values():
        store.close()
    local_store._stores.clear()
    local_store._failing.clear()
    local_store._told.clear()
    config.activate(None)


def spans(*names: str, session: str = "visit-1") -> list[Any]:
    """Finished spans of a session."""
    made: list[Any] = []

    class Keeping(LocalSpanExporter):
        def export(self, batch: Any) -> SpanExportResult:
            made.extend(batch)
            return SpanExportResult.SUCCESS

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(IdentitySpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(Keeping()))
    with bound_session(session):
        for name in names:
            provider.get_tracer("shop").start_span(name).end()
    provider.shutdown()
    return made


def test_entry_points() -> None:
    """The three exporters are found by the name `otel_session_local`, as `OTEL_*_EXPORTER` and files name it."""
    for signal, kind in (("traces", LocalSpanExporter), ("logs", LocalLogExporter), ("metrics", LocalMetricExporter)):
        (found,) = entry_points(group=f"opentelemetry_{signal}_exporter", name="otel_session_local")
        assert found.load() is kind
        assert isinstance(found.load()(), kind)


def test_all_signals(path: pathlib.Path) -> None:
    """Spans, log records and metrics of the SDK's own processors come back from the store as they were."""
    tracers, loggers = TracerProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(IdentitySpanProcessor())
    tracers.add_span_processor(SimpleSpanProcessor(LocalSpanExporter()))
    loggers.add_log_record_processor(IdentityLogProcessor())
    loggers.add_log_record_processor(BatchLogRecordProcessor(LocalLogExporter()))
    meters = MeterProvider([PeriodicExportingMetricReader(LocalMetricExporter())], shutdown_on_exit=False)
    with bound_session("visit-1"):
        tracer = tracers.get_tracer("shop")
        with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER) as span:
            span.set_status(Status(StatusCode.ERROR, "why"))
            statement = tracer.start_span("SELECT", kind=SpanKind.CLIENT, attributes={"db.system.name": "sqlite"})
            statement.end()
        record = LogRecord(body="late", severity_number=SeverityNumber.ERROR, attributes={"order": 7})
        loggers.get_logger("shop").emit(record)
    meters.get_meter("shop").create_counter("orders").add(3)
    for provider in (tracers, loggers, meters):
        provider.shutdown()
    found = Telemetry.read(path)
    request, select = found.spans["visit-1"]
    assert (request.name, request.kind, request.status, request.status_message) == ("GET /", "SERVER", "ERROR", "why")
    assert (request.is_request, request.is_error, request.is_statement) == (True, True, False)
    assert (select.is_statement, select.parent_span_id) == (True, request.span_id)
    (log,) = found.logs["visit-1"]
    assert (log.message, log.is_error, log.attributes["order"], log.scope) == ("late", True, 7, "shop")
    assert found.metric_names == {"orders"}


def test_sessionless(path: pathlib.Path) -> None:
    """What belongs to no session is kept too."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(LocalSpanExporter()))
    span = provider.get_tracer("job").start_span("night run", attributes={"session.id": 5})
    span.end()
    with StoreReader(path) as reader:
        assert reader.counts()["spans"] == 1
        assert reader.sessions(confirmed_only=False) == []
        (row,) = reader.trace(span.get_span_context().trace_id.to_bytes(16, "big"))
    assert (row.session_id, row.name) == (None, "night run")


def test_failure_is_told_once(path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """A store that cannot be written is one line for all signals, however often they try, and one when it is over."""
    path.mkdir()
    batch = spans("a")
    for _ in range(3):
        assert LocalSpanExporter().export(batch) is SpanExportResult.FAILURE
        assert LocalLogExporter().export([]) is LogRecordExportResult.FAILURE
        assert LocalMetricExporter().export(MetricsData([])) is MetricExportResult.FAILURE
    path.rmdir()
    assert LocalSpanExporter().export(batch) is SpanExportResult.SUCCESS
    assert LocalLogExporter().export([]) is LogRecordExportResult.SUCCESS
    assert LocalMetricExporter().export(MetricsData([])) is MetricExportResult.SUCCESS
    said = [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "otel_session"]
    problem = f"otel-session cannot keep telemetry: {path} is a folder. Choose the path of a file in it."
    assert said == [(logging.ERROR, problem), (logging.WARNING, "otel-session keeps telemetry again.")]


def test_one_store_for_all(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporters of one process, on many threads at once, share one open file."""
    made: list[TelemetryStore] = []
    started = threading.Barrier(8)

    class Counted(TelemetryStore):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            started.wait(10)
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(local_store, "TelemetryStore", Counted)
    seen: list[Any] = []
    threads = [threading.Thread(target=lambda: seen.append(local_store.shared_store())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8, "the race was not run"
    assert len({id(store) for store in seen}) == 1
    seen[0].write()


def test_a_forked_child_writes_too(path: pathlib.Path) -> None:
    """Parent and forked child write the same store, each its own spans."""
    LocalSpanExporter().export(spans("before"))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            result = LocalSpanExporter().export(spans("in the child", session="visit-2"))
            code = 0 if result is SpanExportResult.SUCCESS else 2
        finally:
            os._exit(code)
    assert LocalSpanExporter().export(spans("in the parent")) is SpanExportResult.SUCCESS
    assert os.waitpid(child, 0)[1] == 0
    found = Telemetry.read(path)
    assert found.names("visit-1") == ["before", "in the parent"]
    assert found.names("visit-2") == ["in the child"]


def test_writing_makes_no_spans(path: pathlib.Path) -> None:
    """Our own writing is done with instrumentation suppressed: no feedback."""
    from opentelemetry.instrumentation.utils import is_instrumentation_enabled

    seen: list[bool] = []

    class Watching(TelemetryStore):
        def write(self, **kwargs: Any) -> None:
            seen.append(is_instrumentation_enabled())
            super().write(**kwargs)

    local_store._stores[str(path)] = Watching(path, max_bytes=0, max_age_s=0)
    LocalSpanExporter().export(spans("a"))
    assert seen == [False]
    assert is_instrumentation_enabled()


def test_flush_and_shutdown(path: pathlib.Path) -> None:
    """Each batch is a transaction of its own: flushing is true at once, and shutting down closes nobody else's file."""
    for exporter in (LocalSpanExporter(), LocalLogExporter(), LocalMetricExporter()):
        assert exporter.force_flush()
        exporter.shutdown()
    assert LocalSpanExporter().export(spans("after")) is SpanExportResult.SUCCESS
