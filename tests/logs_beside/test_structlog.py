"""structlog beside us: its events carry the ids."""

import json
import logging
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from flask import Flask
from structlog.typing import FilteringBoundLogger

import otel_session
from otel_session import bound_session, testing, track_operation
from otel_session.logs import for_structlog
from tests.started import environ_for

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "logs"
IDS = ("session_id", "correlation_id", "user_id", "trace_id", "span_id", "commit")


@pytest.fixture
def events() -> Iterator[list[dict[str, Any]]]:
    """Structlog with our processor; what its renderer gets."""
    found: list[dict[str, Any]] = []

    def keep(_logger: Any, _method: str, event: Any) -> Any:
        found.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, for_structlog.add_ids, keep])
    yield found
    structlog.reset_defaults()


def _log() -> FilteringBoundLogger:
    log: FilteringBoundLogger = structlog.get_logger()
    return log


def test_nobody(events: list[dict[str, Any]]) -> None:
    """Outside of any session the ids are None, the user anonymous."""
    _log().info("ready", count=1)
    (event,) = events
    assert (event["event"], event["count"]) == ("ready", 1)
    assert [event[name] for name in IDS[:5]] == [None, None, "anonymous", None, None]
    assert "commit" in event


def test_session_and_span(events: list[dict[str, Any]], telemetry: testing.Captured) -> None:
    """Inside of one they are its own, and the span's."""
    with bound_session("visit-1", correlation_id="one"), track_operation("work"):
        _log().warning("working")
    (event,), (span,) = events, telemetry.spans()
    assert [event[name] for name in IDS[:3]] == ["visit-1", "one", "anonymous"]
    assert event["trace_id"] == f"{span.context.trace_id:032x}"  # type: ignore[union-attr]
    assert event["span_id"] == f"{span.context.span_id:016x}"  # type: ignore[union-attr]


def test_what_the_application_has_bound_stays(events: list[dict[str, Any]]) -> None:
    """Its own `user_id` is its own."""
    with bound_session("visit-1"):
        _log().bind(user_id="ada").info("mine")
    assert events[0]["user_id"] == "ada"
    assert events[0]["session_id"] == "visit-1"


def test_requests_and_their_helper_threads(events: list[dict[str, Any]], telemetry: testing.Captured) -> None:
    """Two browsers' requests, helper threads included, each have their own ids."""
    app = Flask(__name__)

    @app.get("/")
    def page() -> str:
        _log().info("page")
        thread = threading.Thread(target=lambda: _log().info("helper"))
        thread.start()
        thread.join()
        return otel_session.get_correlation_id() or ""

    otel_session.instrument(app=app, **telemetry.providers)
    browsers = [app.test_client() for _ in range(2)]
    shown = [browser.get("/").text for _ in range(3) for browser in browsers]
    assert [event["correlation_id"] for event in events] == [each for each in shown for _ in range(2)]
    by_session: dict[str, int] = {}
    for event in events:
        by_session[event["session_id"]] = by_session.get(event["session_id"], 0) + 1
    assert list(by_session.values()) == [6, 6]


def test_through_the_standard_library(telemetry: testing.Captured, caplog: pytest.LogCaptureFixture) -> None:
    """As a processor of its formatter it adds the ids to lines of the standard `logging`, too."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[for_structlog.add_ids], processor=structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler()
    lines: list[str] = []
    handler.emit = lambda record: lines.append(formatter.format(record))  # type: ignore[method-assign]
    logger = logging.getLogger("beside")
    logger.addHandler(handler)
    try:
        with bound_session("visit-1"):
            logger.warning("plain")
    finally:
        logger.removeHandler(handler)
    assert json.loads(lines[0])["session_id"] == "visit-1"


def test_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails in it costs the ids and no more."""
    monkeypatch.setattr(for_structlog, "who_in", lambda _: 1 / 0)
    assert for_structlog.add_ids(None, "info", {"event": "x"}) == {"event": "x"}


def test_example(tmp_path: pathlib.Path) -> None:
    """The example in examples/logs runs as it stands."""
    python = pathlib.Path(sys.executable)
    done = subprocess.run(
        [python, EXAMPLES / "with_structlog.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environ_for(python, OTEL_SESSION_STORE=str(tmp_path / "telemetry.db")),
    )
    assert done.returncode == 0, done.stderr
    ready, imported = map(json.loads, done.stdout.splitlines())
    assert (ready["event"], ready["session_id"]) == ("ready", None)
    assert (imported["event"], imported["count"]) == ("prices imported", 3)
    assert imported["session_id"] == "20250115_143022_scheduled"
    assert len(imported["trace_id"]) == 32
    assert imported["level"] == "info"
