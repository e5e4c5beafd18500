"""The real Collector stopped and started again under load: every log record is in its file in the end."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpExporter
from opentelemetry.sdk._logs import LoggerProvider

from otel_session import config
from otel_session.pipeline import Pipeline
from tests.backends.conftest import need
from tests.backends.harness import run_collector
from tests.backends.processes import free_addresses
from tests.pipeline.made import lines_of, wait_until

ARRIVE_S = 20


@contextlib.contextmanager
def collector(folder: Path, http: str, grpc: str) -> Iterator[Path]:
    """A Collector that listens there; the file that log records go to."""
    folder.mkdir()
    nobody, own = free_addresses(2)
    fixed = {"OTELCOL_OTLP_HTTP_ENDPOINT": http, "OTELCOL_OTLP_GRPC_ENDPOINT": grpc}
    with run_collector(
        folder, jaeger_otlp_grpc=nobody, **fixed, OTELCOL_METRICS_PORT=own.rpartition(":")[2]
    ) as running:
        yield running.logs_file


def bodies(file: Path) -> Counter[str]:
    """The texts of the records that are in a file."""
    found: Counter[str] = Counter()
    for line in file.read_text().splitlines() if file.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):  # a line that is being written
            for of in json.loads(line)["resourceLogs"]:
                found.update(r["body"]["stringValue"] for scope in of["scopeLogs"] for r in scope["logRecords"])
    return found


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_stopped_and_started_again(
    protocol: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All records arrive; those twice are counted as repeated; one line when it goes and one when it is back."""
    need("otelcol")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    http, grpc = free_addresses(2)
    exporter = (
        HttpExporter(endpoint=f"http://{http}/v1/logs", timeout=2)
        if protocol == "http"
        else GrpcExporter(endpoint=f"http://{grpc}", timeout=2)
    )
    config.activate(config.Config.load())
    processor = Pipeline().log_processor(exporter)
    config.activate(None)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(processor)
    log, emitted, stop = provider.get_logger("tests"), [0], threading.Event()

    def load() -> None:
        while not stop.is_set():
            log.emit(LogRecord(body=f"record {emitted[0]}"))
            emitted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=load)
    with collector(tmp_path / "first", http, grpc) as first:
        thread.start()
        wait_until(lambda: len(bodies(first)) > 100, ARRIVE_S)
    wait_until(lambda: lines_of(caplog, "cannot deliver"))
    with collector(tmp_path / "second", http, grpc) as second:
        wait_until(lambda: lines_of(caplog, "again, after"), 60)
        stop.set()
        thread.join()
        assert provider.force_flush(10_000)
        wait_until(lambda: len(bodies(first) + bodies(second)) >= emitted[0], ARRIVE_S)
    arrived = bodies(first) + bodies(second)
    lane = processor.branches[0].lane  # type: ignore[attr-defined]
    assert set(arrived) == {f"record {number}" for number in range(emitted[0])}
    assert sum(arrived.values()) - len(arrived) <= lane.counts.resent
    assert lane.counts.dropped == {}
    assert len(lines_of(caplog, "cannot deliver")) == 1
    provider.shutdown()
