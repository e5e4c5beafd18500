"""loguru beside us: its records carry the ids."""

import json
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from loguru import logger

from otel_session import bound_session, testing, track_operation
from otel_session.logs import for_loguru
from tests.started import environ_for

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "logs"
FORMAT = "[{extra[short_session_id]}] {extra[correlation_id]} {extra[user_id]} {extra[trace_id]} {message}"


@pytest.fixture
def written() -> Iterator[list[str]]:
    """Loguru with our patcher; the lines it writes."""
    found: list[str] = []
    logger.remove()
    logger.configure(patcher=for_loguru.add_ids)
    logger.add(found.append, format=FORMAT)
    yield found
    logger.remove()
    logger.configure(patcher=lambda _: None)


def test_nobody(written: list[str]) -> None:
    """Outside of any session the ids are dashes, the user anonymous."""
    logger.info("ready")
    assert written == ["[-] - anonymous - ready\n"]


def test_session_and_span(written: list[str], telemetry: testing.Captured) -> None:
    """Inside of one they are its own, and the span's."""
    with bound_session("20250115_143022_scheduled", correlation_id="one"), track_operation("work"):
        logger.info("{} rows", 3)
    (span,) = telemetry.spans()
    trace_id = f"{span.context.trace_id:032x}"  # type: ignore[union-attr]
    assert written == [f"[20250115_143022_scheduled] one anonymous {trace_id} 3 rows\n"]


def test_another_thread_writes(written: list[str]) -> None:
    """A sink with a queue writes the ids of the thread that logged."""
    lines: list[str] = []
    sink = logger.add(lines.append, format=FORMAT, enqueue=True)
    with bound_session("visit-1", correlation_id="one"):
        logger.info("queued")
    logger.remove(sink)
    assert lines == written
    assert " one " in lines[0]


def test_json_and_what_the_application_has_bound() -> None:
    """Serialised records have them in `extra`, where the application's own values stay."""
    lines: list[str] = []
    logger.remove()
    logger.configure(patcher=for_loguru.add_ids)
    logger.add(lines.append, serialize=True)
    with bound_session("visit-1"):
        logger.bind(user_id="ada").info("mine")
    logger.remove()
    extra = json.loads(lines[0])["record"]["extra"]
    assert (extra["session_id"], extra["user_id"]) == ("visit-1", "ada")


def test_never_raises() -> None:
    """What fails in it costs the ids and no more."""
    for_loguru.add_ids(None)


def test_example(tmp_path: pathlib.Path) -> None:
    """The example in examples/logs runs as it stands."""
    python = pathlib.Path(sys.executable)
    done = subprocess.run(
        [python, EXAMPLES / "with_loguru.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environ_for(python, OTEL_SESSION_STORE=str(tmp_path / "telemetry.db")),
    )
    assert done.returncode == 0, done.stderr
    ready, imported = done.stderr.splitlines()
    assert "INFO [-] ready (trace -)" in ready
    assert re.search(r"INFO \[20250115_143022_scheduled\] 3 prices imported \(trace [0-9a-f]{32}\)", imported)
