"""Operations in processes of their own: without any set-up, and with the local store."""

import json
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterable

import pytest

from tests.started import Telemetry, environ_for

PYTHON = pathlib.Path(sys.executable)
PROGRAM = """
import asyncio, json, logging, sys, warnings
warnings.simplefilter("error")
from otel_session import bound_session, get_correlation_id, perf, track_operation

class Lines(logging.Handler):
    def emit(self, record):
        print(json.dumps([record.getMessage(), get_correlation_id()]))

logging.basicConfig(level=logging.INFO, handlers=[Lines()], force=True)

@track_operation("rows", metadata=lambda count: {"count": count})
def rows(count):
    yield from range(count)

@track_operation("fetch")
async def fetch():
    raise ConnectionError("refused")

with bound_session("20250115_143022_scheduled"), track_operation("import", metadata={"token": "s3cret"}):
    with perf("rows"):
        assert list(rows(3)) == [0, 1, 2]
    try:
        asyncio.run(fetch())
    except ConnectionError:
        pass
"""
MESSAGES = ["import_start", "rows_start", "rows_complete", "PERF: rows took", "fetch_start", "fetch_failed"]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "nightly.py").write_text(PROGRAM)
    return tmp_path


def _run(folder: pathlib.Path, *command: str, **variables: str) -> list[list[str]]:
    environ = environ_for(PYTHON, OTEL_SESSION_STORE=str(folder / "telemetry.db"), **variables)
    done = subprocess.run([*command], cwd=folder, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def _without_times(messages: Iterable[str]) -> list[str]:
    return [re.sub(r" \d+\.\d\ds$", "", message) for message in messages]


def _assert_lines(lines: list[list[str]]) -> None:
    assert _without_times(message for message, _ in lines) == [*MESSAGES, "import_complete"]
    assert len({correlation_id for _, correlation_id in lines}) == 1


def test_without_any_set_up(folder: pathlib.Path) -> None:
    """Lines with ids, nothing else: no store, no warning, no thread that keeps the process."""
    _assert_lines(_run(folder, str(PYTHON), "nightly.py"))
    assert not (folder / "telemetry.db").exists()


def test_switched_off(folder: pathlib.Path) -> None:
    """OTEL_SDK_DISABLED switches spans and metrics off, not the lines."""
    _assert_lines(
        _run(folder, str(PYTHON.parent / "otel-session"), "run", str(PYTHON), "nightly.py", OTEL_SDK_DISABLED="true")
    )
    assert not (folder / "telemetry.db").exists()


def test_zero_code(folder: pathlib.Path) -> None:
    """Under `otel-session run` the store has spans, records and both metrics, of one session, and no secret."""
    _assert_lines(_run(folder, str(PYTHON.parent / "otel-session"), "run", str(PYTHON), "nightly.py"))
    telemetry = Telemetry.read(folder / "telemetry.db")
    session_id = "20250115_143022_scheduled"
    spans = {span.name: span for span in telemetry.spans[session_id]}
    assert set(spans) == {"import", "rows", "fetch"}
    assert spans["rows"].parent_span_id == spans["fetch"].parent_span_id == spans["import"].span_id
    assert spans["fetch"].is_error
    assert spans["rows"].attributes["operation.metadata.count"] == 3
    assert telemetry.logs[session_id][0].attributes["metadata"] == {"token": "[redacted]"}
    assert _without_times(telemetry.messages(session_id)) == [*MESSAGES, "import_complete"]
    for log in telemetry.logs[session_id]:
        name = log.attributes["operation"]
        own = spans["import"] if log.scope == "otel_session.perf" else spans[str(name)]
        assert (log.trace_id, log.span_id) == (own.trace_id, own.span_id)
    assert {"operation.duration", "operation.errors"} <= telemetry.metric_names
    assert b"s3cret" not in (folder / "telemetry.db").read_bytes()


def test_unsampled(folder: pathlib.Path) -> None:
    """With no sampling there are records and metrics, and no span."""
    _assert_lines(
        _run(
            folder,
            str(PYTHON.parent / "otel-session"),
            "run",
            str(PYTHON),
            "nightly.py",
            OTEL_TRACES_SAMPLER="always_off",
        )
    )
    telemetry = Telemetry.read(folder / "telemetry.db")
    assert telemetry.counts["spans"] == 0
    assert telemetry.counts["logs"] == 7
    assert "operation.duration" in telemetry.metric_names
