"""Zero code, with nothing of OpenTelemetry's installed but what we need: unmodified applications, real processes."""

import pathlib
import re
import signal
import sqlite3
import subprocess
import time
from collections import Counter

import pytest

from otel_session import attributes as names
from tests.environments import python_with
from tests.started import (
    FLASK_APP,
    MESSAGES,
    TWO_WORKERS,
    Browser,
    Telemetry,
    assert_session_is_right,
    environ_for,
    flask_folder,
    started,
    visited,
)

FLASK_RUN = ("flask", "--app", "app", "run", "--port", "{port}")


@pytest.fixture(scope="session")
def python() -> pathlib.Path:
    return python_with("gunicorn", extras="flask,sqlalchemy")


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return flask_folder(tmp_path)


def test_flask_run(python: pathlib.Path, folder: pathlib.Path) -> None:
    """`opentelemetry-instrument flask run` keeps each browser's requests, statements and log lines as its session."""
    with started(python, folder, "opentelemetry-instrument", *FLASK_RUN) as app:
        browsers = visited(app.url)
        telemetry = app.telemetry()
    for browser in browsers:
        assert_session_is_right(telemetry, browser)
        assert [len(answer.cookies) for answer in browser.answers] == [1, 1, 0, 0, 0, 0]
    assert len({browser.session_id for browser in browsers}) == 2
    assert telemetry.counts["spans"] == 18 + 1 == sum(map(len, telemetry.spans.values()))  # one is a connection's
    assert {"http.server.request.duration", "db.client.operation.duration"} <= telemetry.metric_names
    assert "otel-session failed" not in app.written()


def test_otel_session_run(python: pathlib.Path, folder: pathlib.Path) -> None:
    """`otel-session run -- COMMAND` does the same, and `otel-session sessions` shows both browsers afterwards."""
    with started(python, folder, "otel-session", "run", "--", *FLASK_RUN) as app:
        browsers = visited(app.url)
        telemetry = app.telemetry()
        shown = subprocess.run(
            [python.parent / "otel-session", "sessions", "--store", app.store],
            capture_output=True,
            text=True,
            env=environ_for(python),
        )
    for browser in browsers:
        assert_session_is_right(telemetry, browser)
        assert browser.session_id[:8] in shown.stdout, shown.stderr


def test_otel_session_run_without_dashes(python: pathlib.Path, folder: pathlib.Path) -> None:
    """The two dashes may be left out, and the command's own options stay its own."""
    with started(python, folder, "otel-session", "run", *FLASK_RUN, "--no-reload") as app:
        (browser,) = visited(app.url, 1)
        assert_session_is_right(app.telemetry(), browser)


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_gunicorn(python: pathlib.Path, folder: pathlib.Path, options: tuple[str, ...]) -> None:
    """Two gunicorn workers write one store; whichever serves a request, it stays with its browser."""
    command = ("gunicorn", *TWO_WORKERS, "--bind", "127.0.0.1:{port}", *options, "app:app")
    with started(python, folder, "opentelemetry-instrument", *command) as app:
        browsers = visited(app.url, 6)
        time.sleep(2)  # on a busy machine the second worker is up later than the first, which serves all until then
        browsers += visited(app.url, 6)
        assert app.stop() == 0
        telemetry = Telemetry.read(app.store)
    for browser in browsers:
        assert_session_is_right(telemetry, browser)
    spans = [span for browser in browsers for span in telemetry.spans[browser.session_id]]
    workers = {span.resource["service.instance.id"] for span in spans}
    assert len(workers) == 2, "one of the two workers served nothing"
    connecting = [span.resource["service.instance.id"] for span in spans if span.name == names.SPAN_CONNECT]
    asking = {span.resource["service.instance.id"] for span in spans if "db.query.text" in span.attributes}
    assert sorted(connecting) == sorted(asking), "each worker that asks its database connects to it once"
    assert telemetry.counts["spans"] == len(spans) == 12 * 9 + len(connecting)


def test_reloader(python: pathlib.Path, folder: pathlib.Path) -> None:
    """`flask run --debug` is instrumented in the reloader's child, before and after a change of the application."""
    # Werkzeug's reloader kills its child as it ends itself, so the spans have to be out before.
    with started(
        python, folder, "opentelemetry-instrument", *FLASK_RUN, "--debug", OTEL_BSP_SCHEDULE_DELAY="100"
    ) as app:
        browser = Browser(app.url)
        for path in ("/deals", "/stream", "/boom"):
            browser.get(path)
        (folder / "app.py").write_text(FLASK_APP.replace('return "plain"', 'return "changed"'))
        deadline = time.monotonic() + 20
        again = Browser(app.url)
        while time.monotonic() < deadline:
            try:
                if again.get("/plain").body == "changed":
                    break
            except OSError:
                pass
            time.sleep(0.1)
        again.get("/deals")
        _wait_for_spans(app.store, 6 + len(again.answers) + 2)
        app.stop(group=True)
        telemetry = Telemetry.read(app.store)
    names = ["GET /deals", "connect", "SELECT deals", "GET /stream", "SELECT deals", "GET /boom"]
    assert telemetry.names(browser.session_id) == names
    ids = [str(span.attributes["correlation.id"]) for span in telemetry.requests(browser.session_id)]
    # The page of an error in debug mode is Werkzeug's debugger's, which wraps the application from outside.
    assert [answer.correlation_id for answer in browser.answers] == [*ids[:2], None]
    assert again.answers[-2].body == "changed"
    assert telemetry.names(again.session_id)[-4:] == ["GET /plain", "GET /deals", "connect", "SELECT deals"]


def _wait_for_spans(store: pathlib.Path, count: int) -> None:
    deadline = time.monotonic() + 10
    while Telemetry.read(store).counts["spans"] < count and time.monotonic() < deadline:
        time.sleep(0.05)


def test_sigterm_keeps_what_is_held(python: pathlib.Path, folder: pathlib.Path) -> None:
    """SIGTERM ends a process as without us, by the signal, and nothing of the last moment is lost."""
    with started(python, folder, "opentelemetry-instrument", *FLASK_RUN) as app:
        browser = Browser(app.url)
        browser.get("/deals")
        assert app.stop() == -signal.SIGTERM
        telemetry = Telemetry.read(app.store)
    assert telemetry.names(browser.session_id) == ["GET /deals", "connect", "SELECT deals"]
    assert telemetry.messages(browser.session_id) == MESSAGES[:1]
    assert "http.server.request.duration" in telemetry.metric_names


def test_own_sigterm_handler_stays(python: pathlib.Path, folder: pathlib.Path) -> None:
    """An application that handles SIGTERM itself is called and ends its own way; nothing is lost either."""
    handler = "\nimport signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
    (folder / "app.py").write_text(FLASK_APP + handler)
    (folder / "main.py").write_text("import sys\nfrom app import app\napp.run(port=int(sys.argv[1]))\n")
    with started(python, folder, "opentelemetry-instrument", "python", "main.py", "{port}") as app:
        browser = Browser(app.url)
        browser.get("/deals")
        assert app.stop() == 7
        telemetry = Telemetry.read(app.store)
    assert telemetry.names(browser.session_id) == ["GET /deals", "connect", "SELECT deals"]


def test_interrupt_keeps_what_is_held(python: pathlib.Path, folder: pathlib.Path) -> None:
    """Ctrl-C, a normal end, loses nothing."""
    with started(python, folder, "opentelemetry-instrument", *FLASK_RUN) as app:
        browser = Browser(app.url)
        browser.get("/deals")
        app.stop(signal.SIGINT)
        telemetry = Telemetry.read(app.store)
    assert telemetry.names(browser.session_id) == ["GET /deals", "connect", "SELECT deals"]


def test_script_that_ends(python: pathlib.Path, folder: pathlib.Path) -> None:
    """A script that uses the application through a test client and ends at once leaves all of it in the store."""
    (folder / "job.py").write_text("from app import app\nprint(app.test_client().get('/deals').status)\n")
    done = subprocess.run(
        [python.parent / "opentelemetry-instrument", "python", "job.py"],
        cwd=folder,
        env=environ_for(python, OTEL_SESSION_STORE=str(folder / "t.db")),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "200 OK\n", done.stderr
    counts = Telemetry.read(folder / "t.db").counts
    assert (counts["spans"], counts["unconfirmed"]) == (3, 1)


def test_in_code(python: pathlib.Path, folder: pathlib.Path) -> None:
    """`otel_session.instrument()` in a program started as ever does what `opentelemetry-instrument` does."""
    source = "import sys\nimport otel_session\nfrom app import app\n"
    (folder / "main.py").write_text(source + "otel_session.instrument()\napp.run(port=int(sys.argv[1]))")
    with started(python, folder, "python", "main.py", "{port}") as app:
        browsers = visited(app.url)
        telemetry = app.telemetry()
    for browser in browsers:
        assert_session_is_right(telemetry, browser)


def test_the_build_is_on_everything(python: pathlib.Path, folder: pathlib.Path) -> None:
    """The build stamp beside the application is on spans, log records and metrics, with no setting."""
    stamp = '{"commit": "512fbfe", "branch": "main", "timestamp": "2025-12-16T07:26:50+00:00", "build_date": ""}'
    (folder / "build_stamp.json").write_text(stamp)
    with started(python, folder, "opentelemetry-instrument", *FLASK_RUN) as app:
        (browser,) = visited(app.url, 1)
        telemetry = app.telemetry()
    views = [*telemetry.spans[browser.session_id], *telemetry.logs[browser.session_id]]
    found = Counter(
        (view.resource.get("vcs.ref.head.revision"), view.resource.get("vcs.ref.head.name")) for view in views
    )
    assert found == {("512fbfe", "main"): len(views)}
    with sqlite3.connect(app.store) as database:
        assert database.execute("SELECT count(*) FROM metrics").fetchone()[0] >= 3


def test_help_lists_our_variables(python: pathlib.Path) -> None:
    """`opentelemetry-instrument --help` offers every variable of ours as an option."""
    done = subprocess.run(
        [python.parent / "opentelemetry-instrument", "--help"],
        env=environ_for(python),
        capture_output=True,
        text=True,
        check=True,
    )
    from otel_session import environment_variables

    options = set(re.findall(r"--(session_\w+)", done.stdout))
    assert options == {n.removeprefix("OTEL_").lower() for n in dir(environment_variables) if n.startswith("OTEL_")}
