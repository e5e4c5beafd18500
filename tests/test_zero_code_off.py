"""Zero code that is switched off, or cannot work: the application never notices, and one line says why."""

import pathlib
import sqlite3
import subprocess

import pytest

from tests.environments import python_with
from tests.started import COOKIE, TWO_WORKERS, Browser, Telemetry, environ_for, flask_folder, started, visited

COMMAND = ("opentelemetry-instrument", "flask", "--app", "app", "run", "--port", "{port}")
# What the application can see of us: patched functions, processors, propagators.
PROBE = """

@app.get("/probe")
def probe():
    import logging, sys
    from concurrent.futures import ThreadPoolExecutor
    from opentelemetry import propagate, trace
    from sqlalchemy.engine.interfaces import Dialect

    patched = [Flask.__call__, Flask.wsgi_app, logging.Logger.callHandlers, threading.Thread.start,
               ThreadPoolExecutor.submit, Dialect.engine_created.__func__]
    found = [w.__name__ for w in patched if "/otel_session/" in w.__code__.co_filename]
    parts = [*getattr(propagate.get_global_textmap(), "_propagators", ()),
             *getattr(getattr(trace.get_tracer_provider(), "_active_span_processor", None), "_span_processors", ())]
    ours = ("otel_session.processors", "otel_session.propagators")
    return ",".join(found + [type(p).__name__ for p in parts if type(p).__module__ in ours])
"""


@pytest.fixture(scope="session")
def python() -> pathlib.Path:
    return python_with("gunicorn", extras="flask,sqlalchemy")


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    flask_folder(tmp_path)
    with (tmp_path / "app.py").open("a") as source:
        source.write(PROBE)
    return tmp_path


def assert_serves_as_without_us(browser: Browser) -> None:
    assert [answer.status for answer in browser.answers] == [200, 200, 404, 500, 200, 200]
    assert all(answer.correlation_id is None and not answer.cookies for answer in browser.answers)


def test_sdk_disabled(python: pathlib.Path, folder: pathlib.Path) -> None:
    """OTEL_SDK_DISABLED=true: no cookie, no header, no hook in the process, no store file, nothing said."""
    with started(python, folder, *COMMAND, OTEL_SDK_DISABLED="true") as app:
        (browser,) = visited(app.url, 1)
        hooks = Browser(app.url).get("/probe").body
        app.stop()
    assert_serves_as_without_us(browser)
    assert hooks == ""
    assert not app.store.exists()
    assert "otel-session" not in app.written().replace(str(python.parent.parent), "")


def test_the_probe_sees_hooks(python: pathlib.Path, folder: pathlib.Path) -> None:
    """The check above can fail: switched on, the hooks are seen."""
    with started(python, folder, *COMMAND) as app:
        hooks = Browser(app.url).get("/probe").body
    functions = ["__call__", "wsgi_app", "call_handlers", "start", "submit", "engine_created"]
    assert hooks.split(",")[:6] == functions
    assert {"SessionPropagator", "IdentitySpanProcessor"} <= set(hooks.split(","))


@pytest.mark.parametrize("disabled", ["*", "otel_session", "some, otel_session"])
def test_all_of_ours_disabled(python: pathlib.Path, folder: pathlib.Path, disabled: str) -> None:
    """OTEL_PYTHON_DISABLED_INSTRUMENTATIONS with * or otel_session: no cookie, header, hook, nor telemetry of the app.

    The pipeline itself is not an instrumentation: it stays, and says of itself that nothing went through it.
    """
    with started(python, folder, *COMMAND, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled) as app:
        (browser,) = visited(app.url, 1)
        hooks = Browser(app.url).get("/probe").body
        app.stop()
    assert_serves_as_without_us(browser)
    assert hooks == ""
    if app.store.exists():
        telemetry = Telemetry.read(app.store)
        assert (telemetry.counts["spans"], telemetry.counts["logs"]) == (0, 0)
        assert all(name.startswith(("otel.sdk.", "otel_session.")) for name in telemetry.metric_names)


@pytest.mark.parametrize("disabled", ["otel_session_flask", "flask"])
def test_flask_disabled(python: pathlib.Path, folder: pathlib.Path, disabled: str) -> None:
    """Ours for Flask disabled, by its own name or where no official one is there by that one: no cookie, no header.

    The other instrumentations go on.
    """
    with started(python, folder, *COMMAND, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled) as app:
        (browser,) = visited(app.url, 1)
        app.stop()
    assert_serves_as_without_us(browser)
    with sqlite3.connect(app.store) as database:
        assert [row[0] for row in database.execute("SELECT name FROM spans")] == [
            "connect",
            *["SELECT deals"] * 3,
        ]


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("OTEL_SESSION_IDLE_S", "soon", "a number of seconds from 1 to 1000000000"),
        ("OTEL_SESSION_IDEL_S", "60", "there is no such setting"),
        ("OTEL_PYTHON_FLASK_EXCLUDED_URLS", "(", "regular expressions separated by commas"),
        ("OTEL_BSP_SCHEDULE_DELAY", "often", "milliseconds"),
        ("OTEL_BSP_SCHEDULE_DELAY", "700000", "an age above the delay"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100", "a queue that a batch fits into"),
    ],
)
def test_wrong_value(python: pathlib.Path, folder: pathlib.Path, variable: str, value: str, expected: str) -> None:
    """A wrong value is exactly one line that names the variable; the application runs on without telemetry."""
    with started(python, folder, *COMMAND, **{variable: value}) as app:
        (browser,) = visited(app.url, 1)
        hooks = Browser(app.url).get("/probe").body
        app.stop()
    assert_serves_as_without_us(browser)
    assert hooks == ""
    assert not app.store.exists()
    said = [line for line in app.written().splitlines() if variable in line]
    assert len(said) == 1
    assert said[0].startswith("otel-session is off. ")
    assert expected in said[0]
    assert "Traceback" not in app.written().split("deals listed")[0]


def test_wrong_value_under_gunicorn(python: pathlib.Path, folder: pathlib.Path) -> None:
    """However many workers there are, the line is written once."""
    command = ("opentelemetry-instrument", "gunicorn", *TWO_WORKERS, "--bind", "127.0.0.1:{port}", "app:app")
    with started(python, folder, *command, OTEL_SESSION_IDLE_S="soon") as app:
        (browser,) = visited(app.url, 1)
        app.stop()
    assert_serves_as_without_us(browser)
    assert app.written().count("OTEL_SESSION_IDLE_S") == 1


def test_run_refuses_a_wrong_value(python: pathlib.Path, folder: pathlib.Path) -> None:
    """`otel-session run` starts nothing with a wrong value: exit code 1 and the line."""
    done = run_command(python, folder, "run", "--", "python", "-c", "print('started')", OTEL_SESSION_IDLE_S="soon")
    assert done.returncode == 1
    assert done.stdout == ""
    wanted = "otel-session: OTEL_SESSION_IDLE_S is 'soon'; expected a number of seconds from 1 to 1000000000.\n"
    assert done.stderr == wanted


def test_run_refuses_no_command_and_no_program(python: pathlib.Path, folder: pathlib.Path) -> None:
    """`otel-session run` says which words are missing (exit code 2) and which program is not there (127)."""
    nothing = run_command(python, folder, "run", "--")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert "otel-session run -- flask --app app run" in nothing.stderr
    unknown = run_command(python, folder, "run", "--", "no-such-program", "--port", "1")
    assert (unknown.returncode, unknown.stdout) == (127, "")
    assert "'no-such-program'" in unknown.stderr


def run_command(
    python: pathlib.Path, folder: pathlib.Path, *words: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [python.parent / "otel-session", *words],
        cwd=folder,
        env=environ_for(python, **variables),
        capture_output=True,
        text=True,
        timeout=60,
    )


def assert_one_line(app_output: str, *expected: str) -> None:
    said = [line for line in app_output.splitlines() if "otel-session cannot" in line]
    assert len(said) == 1, app_output
    for words in expected:
        assert words in said[0]


def test_store_in_a_place_that_cannot_be(python: pathlib.Path, folder: pathlib.Path) -> None:
    """A store path that cannot be a file is one line for all signals; the application is not affected."""
    (folder / "file").write_text("")
    path = folder / "file" / "telemetry.db"
    with started(python, folder, *COMMAND, OTEL_SESSION_STORE=str(path), OTEL_BSP_SCHEDULE_DELAY="100") as app:
        (browser,) = visited(app.url, 1)
        app.stop()
    assert [answer.status for answer in browser.answers] == [200, 200, 404, 500, 200, 200]
    assert all(answer.correlation_id for answer in browser.answers)
    assert_one_line(app.written(), str(path), "Choose another path")


def test_store_that_is_no_database(python: pathlib.Path, folder: pathlib.Path) -> None:
    """A file that is something else is left as it is, and one line says what to do."""
    path = folder / "telemetry.db"
    path.write_bytes(b"somebody's letter" * 100)
    with started(python, folder, *COMMAND, OTEL_BSP_SCHEDULE_DELAY="100") as app:
        visited(app.url, 1)
        app.stop()
    assert path.read_bytes() == b"somebody's letter" * 100
    assert_one_line(app.written(), str(path), "choose another path")


def test_newer_store(python: pathlib.Path, folder: pathlib.Path) -> None:
    """A store that a newer version made is not touched, and one line says to update or to choose another path."""
    with started(python, folder, *COMMAND) as app:
        Browser(app.url).get("/deals")
        app.stop()
    with sqlite3.connect(app.store) as database:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        database.execute(f"PRAGMA user_version = {version + 1}")
        rows = database.execute("SELECT count(*) FROM spans").fetchone()
    with started(python, folder, *COMMAND) as app:
        browser = Browser(app.url)
        assert browser.get("/deals").status == 200
        app.stop()
    assert any(cookie.name == COOKIE for cookie in browser.jar)
    assert_one_line(app.written(), str(app.store), "Upgrade otel-session, or choose another path")
    with sqlite3.connect(app.store) as database:
        assert database.execute("SELECT count(*) FROM spans").fetchone() == rows
    shown = run_command(python, folder, "sessions", "--store", str(app.store))
    assert shown.returncode == 1
    assert "Upgrade otel-session" in shown.stderr
