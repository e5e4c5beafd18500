"""The log of unmodified applications in real servers: `OTEL_SESSION_LOG_FORMAT`, and nothing else."""

import json
import pathlib
import re
import subprocess

import pytest

from otel_session.ids import short_id
from tests.environments import python_with
from tests.started import TWO_WORKERS, Browser, Started, flask_folder, started

FLASK = ("flask", "--app", "app", "run", "--port", "{port}")
GUNICORN = ("gunicorn", *TWO_WORKERS, "--bind", "127.0.0.1:{port}", "--access-logfile", "-", "app:app")
THREADS = (*GUNICORN[:-1], "--threads", "4", "app:app")
UVICORN = ("uvicorn", "--interface", "wsgi", "--port", "{port}", "app:app")
PATHS = ("/deals", "/helper", "/boom", "/stream", "/gone", "/plain")
SAID = ["2 deals listed", "2 deals counted by a helper", "about to fail", "Exception on /boom [GET]", "streamed"]


@pytest.fixture(scope="session")
def python() -> pathlib.Path:
    return python_with("gunicorn", "uvicorn", extras="flask,sqlalchemy")


def visit_with_two_browsers(app: Started) -> list[Browser]:
    """Two users at once, each asking for every page."""
    browsers = [Browser(app.url), Browser(app.url)]
    for path in PATHS:
        for browser in browsers:
            browser.get(path)
    return browsers


@pytest.mark.parametrize(
    "command", [FLASK, GUNICORN, THREADS, UVICORN], ids=["flask", "gunicorn", "threads", "uvicorn"]
)
def test_prefix(command: tuple[str, ...], python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    r"""`grep '\[<id>\]'` gives exactly one user's lines: helper threads', tracebacks' and access lines, too."""
    folder = flask_folder(tmp_path)
    with started(python, folder, "opentelemetry-instrument", *command, OTEL_SESSION_LOG_FORMAT="prefix") as app:
        browsers = visit_with_two_browsers(app)
        app.stop()
    for browser in browsers:
        pattern = rf"\[{short_id(browser.session_id)}\]"
        found = subprocess.run(["grep", pattern, app.log], capture_output=True, text=True).stdout.splitlines()
        text = "\n".join(found)
        for words in SAID:
            assert len(re.findall(re.escape(words), text)) == 1, text
        assert [line for line in found if line.endswith("] RuntimeError: boom")] != []
        assert found == [line for line in found if re.match(pattern + " ", line)]
        asked = re.findall(r"GET (/\w+) HTTP", text)
        expected = [] if command is UVICORN else list(PATHS)
        if command in (GUNICORN, THREADS):  # workers write in their own time
            asked.sort()
            expected.sort()
        assert asked == expected, text
    written = app.written().splitlines()
    shown = [line for line in written if not re.match(r"\[([0-9a-f]{8}|-)\] ", line)]
    assert [line for line in shown if not line.startswith((" * ", "Press CTRL"))] == []  # flask prints these itself
    assert "Traceback" in app.written()
    assert "otel-session failed" not in app.written()


@pytest.mark.parametrize("command", [FLASK, GUNICORN, UVICORN], ids=["flask", "gunicorn", "uvicorn"])
def test_json(command: tuple[str, ...], python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Every line that goes through logging is JSON with the ids, the server's own too; its trace is in the store."""
    folder = flask_folder(tmp_path)
    with started(python, folder, "opentelemetry-instrument", *command, OTEL_SESSION_LOG_FORMAT="json") as app:
        browsers = visit_with_two_browsers(app)
        telemetry = app.telemetry()
    printed = [line for line in app.written().splitlines() if not line.startswith((" * ", "Press CTRL"))]
    lines = [json.loads(line) for line in printed]
    for browser in browsers:
        own = [line for line in lines if line["session_id"] == browser.session_id]
        assert [line["message"] for line in own if not line["logger"].startswith(("werk", "guni", "uvi"))] == SAID
        spans = telemetry.spans[browser.session_id]
        assert {line["trace_id"] for line in own} <= {span.trace_id for span in spans}
        assert {line["span_id"] for line in own} <= {span.span_id for span in spans}
        answers = {answer.correlation_id for answer in browser.answers}
        assert {line["correlation_id"] for line in own} <= answers
        (failed,) = [line for line in own if "error" in line]
        assert (failed["error"]["type"], failed["error"]["message"]) == ("RuntimeError", "boom")
    assert {line["user_id"] for line in lines} == {"anonymous"}
    assert "otel-session failed" not in app.written()
