"""Frameworks that only the official instrumentations know: FastAPI, Django, and Flask mounted under FastAPI.

Both ask the response propagator for every response, the answer to an unhandled exception included.
"""

import pathlib
import signal

import pytest

from tests.environments import python_with
from tests.started import Browser, Started, Telemetry, correlation_of, flask_folder, started

OFFICIAL = [f"opentelemetry-instrumentation-{name}>=0.61b0" for name in ("fastapi", "django", "requests", "urllib")]
UVICORN = ("opentelemetry-instrument", "uvicorn", "main:app", "--port", "{port}", "--log-level", "warning")

FASTAPI_APP = """
import logging
import urllib.request

import requests
from fastapi import FastAPI, HTTPException
from sqlalchemy import create_engine, text

app = FastAPI()
engine = create_engine("sqlite:///deals.db")
log = logging.getLogger("deals")


def count():
    with engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM deals")).scalar_one()


@app.get("/deals")
async def deals():
    log.warning("%d deals", count())
    return {}


@app.get("/threaded")
def threaded():
    log.warning("%d deals in a worker thread", count())
    return {}


@app.get("/gone")
async def gone():
    raise HTTPException(404)


@app.get("/boom")
async def boom():
    raise RuntimeError("boom")


@app.get("/downstream")
def downstream(url: str):
    return {"requests": requests.get(url, timeout=5).json(), "urllib": urllib.request.urlopen(url).read().decode()}
"""

DJANGO_SETTINGS = """
DEBUG = False
SECRET_KEY = "x" * 50
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
MIDDLEWARE = []
"""

DJANGO_URLS = """
import logging

from django.http import HttpResponse
from django.urls import path
from sqlalchemy import create_engine, text

engine = create_engine("sqlite:///deals.db")


def deals(request):
    with engine.connect() as connection:
        count = connection.execute(text("SELECT count(*) FROM deals")).scalar_one()
    logging.getLogger("deals").warning("%d deals", count)
    return HttpResponse("deals")


def boom(request):
    raise RuntimeError("boom")


urlpatterns = [path("deals", deals), path("boom", boom)]
"""

MOUNTED_APP = """
from {module} import {middleware}
from fastapi import FastAPI

from app import app as flask_app

app = FastAPI()
app.mount("/", {middleware}(flask_app))
"""


@pytest.fixture(scope="session")
def python() -> pathlib.Path:
    return python_with("fastapi", "uvicorn", "django", "a2wsgi", "requests", *OFFICIAL, extras="flask,sqlalchemy")


def written_by(app: Started) -> Telemetry:
    return app.telemetry(signal.SIGINT)


def assert_ids_agree(telemetry: Telemetry, browser: Browser, requests: int) -> None:
    """The session is the cookie's, and each response's correlation id is on the server span of its request."""
    servers = telemetry.requests(browser.session_id)
    assert len(servers) == requests
    assert [correlation_of(span) for span in servers] == [answer.correlation_id for answer in browser.answers]
    assert all(span.session_id == browser.session_id for span in telemetry.spans[browser.session_id])


def test_fastapi(python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """FastAPI under its official instrumentation: ids on its server spans, our query spans and all log lines.

    The correlation id comes back on errors too, and the cookie is set by the first two answers only.
    """
    flask_folder(tmp_path)
    (tmp_path / "main.py").write_text(FASTAPI_APP)
    with started(python, tmp_path, *UVICORN) as app:
        browsers = [Browser(app.url), Browser(app.url)]
        for path in ("/deals", "/threaded", "/gone", "/boom"):
            for browser in browsers:
                browser.get(path)
        telemetry = written_by(app)
    for browser in browsers:
        assert [answer.status for answer in browser.answers] == [200, 200, 404, 500]
        assert [len(answer.cookies) for answer in browser.answers] == [1, 1, 0, 0]
        assert_ids_agree(telemetry, browser, 4)
        spans = telemetry.spans[browser.session_id]
        assert [span.name for span in spans if span.is_statement] == ["SELECT deals"] * 2
        messages = telemetry.messages(browser.session_id)
        assert messages[:2] == ["2 deals", "2 deals in a worker thread"]
        assert {span.scope for span in spans if span.is_request} == {"opentelemetry.instrumentation.fastapi"}


@pytest.mark.parametrize("switch", ["on", "off"])
def test_downstream(python: pathlib.Path, tmp_path: pathlib.Path, switch: str) -> None:
    """Official client instrumentations carry session and correlation id on as baggage; OTEL_SESSION_BAGGAGE=off none.

    What arrives is believed only from networks named in OTEL_SESSION_TRUSTED_BAGGAGE.
    """
    flask_folder(tmp_path)
    (tmp_path / "main.py").write_text(FASTAPI_APP)
    seen = tmp_path / "downstream"
    seen.mkdir()
    source = (
        "from flask import Flask, request\napp = Flask(__name__)\n"
        "@app.get('/')\ndef seen():\n    return {'baggage': request.headers.get('baggage', '')}\n"
    )
    (seen / "app.py").write_text(source)
    run = ("opentelemetry-instrument", "flask", "--app", "app", "run", "--port", "{port}")
    trusted = {"OTEL_SESSION_TRUSTED_BAGGAGE": "127.0.0.0/8"}
    with (
        started(python, seen, *run, **trusted) as second,
        started(python, tmp_path, *UVICORN, OTEL_SESSION_BAGGAGE=switch) as first,
    ):
        browser = Browser(first.url)
        answer = browser.get(f"/downstream?url={second.url}/")
        telemetry = second.telemetry()
    assert answer.status == 200
    session_id, correlation_id = browser.session_id, answer.correlation_id
    sent = f"session.id={session_id},correlation.id={correlation_id}"
    assert answer.body.count(sent) == (2 if switch == "on" else 0)
    assert answer.body.count("session.id") == (2 if switch == "on" else 0)
    if switch == "on":
        assert [correlation_of(span) for span in telemetry.requests(session_id)] == [correlation_id] * 2
    else:
        assert session_id not in telemetry.spans


def test_nothing_downstream_without_an_official_client(python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Where no client instrumentation is active, nothing of ours is sent to others."""
    flask_folder(tmp_path)
    (tmp_path / "main.py").write_text(FASTAPI_APP)
    seen = tmp_path / "downstream"
    seen.mkdir()
    (seen / "app.py").write_text(
        "from flask import Flask, request\napp = Flask(__name__)\n"
        "@app.get('/')\ndef seen():\n    return {'headers': list(request.headers.keys())}\n"
    )
    run = ("opentelemetry-instrument", "flask", "--app", "app", "run", "--port", "{port}")
    disabled = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "requests,urllib"}
    with started(python, seen, *run) as second, started(python, tmp_path, *UVICORN, **disabled) as first:
        body = Browser(first.url).get(f"/downstream?url={second.url}/").body.lower()
    assert "host" in body
    assert "baggage" not in body
    assert "correlation" not in body


def test_django(python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Django under its official instrumentation: ids on its server spans, our query spans and log lines; one cookie."""
    flask_folder(tmp_path)
    (tmp_path / "settings.py").write_text(DJANGO_SETTINGS)
    (tmp_path / "urls.py").write_text(DJANGO_URLS)
    command = ("opentelemetry-instrument", "python", "-m", "django", "runserver", "--noreload", "{port}")
    variables = {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(tmp_path)}
    with started(python, tmp_path, *command, **variables) as app:
        browsers = [Browser(app.url), Browser(app.url)]
        for path in ("/deals", "/deals", "/nothing", "/boom"):
            for browser in browsers:
                browser.get(path)
        telemetry = written_by(app)
    for browser in browsers:
        assert [answer.status for answer in browser.answers] == [200, 200, 404, 500], app.written()
        assert [len(answer.cookies) for answer in browser.answers] == [1, 1, 0, 0]
        assert_ids_agree(telemetry, browser, 4)
        spans = telemetry.spans[browser.session_id]
        assert [span.name for span in spans if span.is_statement] == ["SELECT deals"] * 2
        assert telemetry.messages(browser.session_id)[:2] == ["2 deals"] * 2
        assert {span.scope for span in spans if span.is_request} == {"opentelemetry.instrumentation.django"}


@pytest.mark.parametrize("module", ["starlette.middleware.wsgi:WSGIMiddleware", "a2wsgi:WSGIMiddleware"])
def test_flask_under_fastapi(python: pathlib.Path, tmp_path: pathlib.Path, module: str) -> None:
    """Flask mounted under FastAPI: one SERVER span, ours INTERNAL below it, the same ids on both, one cookie."""
    flask_folder(tmp_path)
    name, _, middleware = module.partition(":")
    (tmp_path / "main.py").write_text(MOUNTED_APP.format(module=name, middleware=middleware))
    with started(python, tmp_path, *UVICORN) as app:
        browser = Browser(app.url)
        for path in ("/deals", "/stream", "/gone"):
            browser.get(path)
        telemetry = written_by(app)
    assert [answer.status for answer in browser.answers] == [200, 200, 404], app.written()
    assert [len(answer.cookies) for answer in browser.answers] == [1, 1, 0]
    assert [len(answer.headers.get_all("X-Correlation-ID")) for answer in browser.answers] == [1, 1, 1]
    assert_ids_agree(telemetry, browser, 3)
    spans = telemetry.spans[browser.session_id]
    outer = {span.span_id: span for span in spans if span.is_request}
    inner = [span for span in spans if span.scope == "otel_session.flask"]
    assert [span.kind for span in inner] == ["INTERNAL"] * 3
    for span in inner:
        assert correlation_of(span) == correlation_of(outer[span.parent_span_id])
    statements = [span for span in spans if span.is_statement]
    assert {span.parent_span_id for span in statements} <= {span.span_id for span in inner}
    assert len(statements) == 2


def test_hostile_values(python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A hostile cookie and header under FastAPI give a normal answer, and the refusal is counted as a metric."""
    flask_folder(tmp_path)
    (tmp_path / "main.py").write_text(FASTAPI_APP)
    with started(python, tmp_path, *UVICORN) as app:
        hostile = {"Cookie": "otel_session=" + "x" * 4000, "X-Correlation-ID": "<script>", "baggage": "session.id=evil"}
        answer = Browser(app.url).get("/deals", hostile)
        telemetry = written_by(app)
    assert answer.status == 200
    assert answer.correlation_id is not None
    assert answer.correlation_id.startswith("req_")
    assert "evil" not in telemetry.spans
    assert "otel_session.refused" in telemetry.metric_names
