"""Zero code, and where the telemetry goes: the local store, OTLP, the console, a configuration file."""

import pathlib
import re
import signal
from collections import Counter

import pytest

from tests.environments import python_with
from tests.otlp_sink import listening
from tests.started import MESSAGES, Browser, Telemetry, assert_session_is_right, flask_folder, started, visited

COMMAND = ("opentelemetry-instrument", "flask", "--app", "app", "run", "--port", "{port}")
NAMES = {"GET /plain": 1, "GET /deals": 1, "GET /gone": 1, "GET /boom": 1, "GET /stream": 1, "GET /helper": 1}
METRICS = {"http.server.request.duration", "http.server.active_requests", "db.client.operation.duration"}


@pytest.fixture(scope="session")
def bare() -> pathlib.Path:
    return python_with("gunicorn", extras="flask,sqlalchemy")


@pytest.fixture(scope="session")
def otlp() -> pathlib.Path:
    return python_with(extras="flask,sqlalchemy,otlp")


@pytest.fixture(scope="session")
def declarative() -> pathlib.Path:
    return python_with("opentelemetry-configuration>=0.65b0", extras="flask,sqlalchemy")


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return flask_folder(tmp_path)


def lines_with(words: str, written: str) -> list[str]:
    return [line for line in written.splitlines() if words in line]


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"])
def test_endpoint_without_the_extra(bare: pathlib.Path, folder: pathlib.Path, variable: str) -> None:
    """An OTLP endpoint without an exporter installed is one line that names the extra; the local store keeps it all."""
    with listening() as sink:
        with started(bare, folder, *COMMAND, **{variable: sink.url}) as app:
            (browser,) = visited(app.url, 1)
            telemetry = app.telemetry()
        assert_session_is_right(telemetry, browser)
        assert not sink.spans
        assert not sink.logs
    (said,) = lines_with("The OTLP endpoint is", app.written())
    assert sink.url in said
    assert "pip install 'otel-session[otlp]'" in said
    assert str(app.store) in said


def test_otlp_named_without_the_extra(bare: pathlib.Path, folder: pathlib.Path) -> None:
    """The same where a variable names otlp for one signal; what else it names stays."""
    with started(bare, folder, *COMMAND, OTEL_TRACES_EXPORTER="otlp,console") as app:
        browser = Browser(app.url)
        browser.get("/deals")
        telemetry = app.telemetry()
    assert telemetry.names(browser.session_id) == ["GET /deals", "connect", "SELECT deals"]
    assert app.written().count('"name": "GET /deals"') == 1
    (said,) = lines_with("OTEL_TRACES_EXPORTER names otlp", app.written())
    assert "pip install 'otel-session[otlp]'" in said


def test_otlp(otlp: pathlib.Path, folder: pathlib.Path) -> None:
    """With the extra and an endpoint, traces, log records and metrics go there by OTLP/HTTP, and no store is made."""
    with listening() as sink:
        with started(otlp, folder, *COMMAND, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url) as app:
            browsers = visited(app.url)
            app.stop()
        assert not app.store.exists()
        for browser, connects in zip(browsers, (1, 0), strict=True):
            mine = [span for span in sink.spans if span[2]["session.id"] == browser.session_id]
            assert Counter(name for name, *_ in mine) == Counter({**NAMES, "SELECT deals": 3, "connect": connects})
            received = {answer.correlation_id for answer in browser.answers}
            assert {span[2]["correlation.id"] for span in mine} == received
            said = sink.messages(browser.session_id)
            assert sorted(said) == sorted(MESSAGES)
        assert len(sink.spans) == 18 + 1
        assert sink.metrics >= METRICS
        assert {span[3]["telemetry.distro.name"] for span in sink.spans} == {"otel-session"}


def test_no_endpoint(otlp: pathlib.Path, folder: pathlib.Path) -> None:
    """With the extra and no endpoint, telemetry goes to the local store: nobody is called up unasked."""
    with started(otlp, folder, *COMMAND) as app:
        (browser,) = visited(app.url, 1)
        assert_session_is_right(app.telemetry(), browser)


def test_both(otlp: pathlib.Path, folder: pathlib.Path) -> None:
    """OTEL_TRACES_EXPORTER=otlp,otel_session_local sends spans to both; the other signals follow the endpoint."""
    with listening() as sink:
        both = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "OTEL_TRACES_EXPORTER": "otlp,otel_session_local"}
        with started(otlp, folder, *COMMAND, **both) as app:
            (browser,) = visited(app.url, 1)
            telemetry = app.telemetry()
        assert sorted(telemetry.names(browser.session_id)) == sorted(name for name, *_ in sink.spans)
        assert (telemetry.counts["spans"], telemetry.counts["logs"], telemetry.counts["metrics"]) == (10, 0, 0)
        said = sink.messages(browser.session_id)
        assert sorted(said) == sorted(MESSAGES)
        assert sink.metrics >= METRICS


def test_grpc_asked_for_and_only_http_there(otlp: pathlib.Path, folder: pathlib.Path) -> None:
    """A protocol whose exporter is missing names the extra that brings it; an unknown protocol is named too."""
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with started(otlp, folder, *COMMAND, **endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="grpc") as app:
        Browser(app.url).get("/deals")
        app.stop()
    (said,) = lines_with("The OTLP endpoint is", app.written())
    assert "pip install 'otel-session[otlp-grpc]'" in said
    with started(otlp, folder, *COMMAND, **endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="carrier-pigeon") as app:
        Browser(app.url).get("/deals")
        app.stop()
    (said,) = lines_with("The OTLP endpoint is", app.written())
    assert "OTEL_EXPORTER_OTLP_PROTOCOL is 'carrier-pigeon'; expected http/protobuf or grpc." in said
    assert Telemetry.read(app.store).counts["spans"] == 6


def test_logs_exporter_none(bare: pathlib.Path, folder: pathlib.Path) -> None:
    """OTEL_LOGS_EXPORTER=none exports no log record, and the application's own handlers write what they always do."""
    with started(bare, folder, *COMMAND, OTEL_LOGS_EXPORTER="none") as app:
        (browser,) = visited(app.url, 1)
        telemetry = app.telemetry()
    assert telemetry.counts["logs"] == 0
    assert telemetry.counts["spans"] == 9 + 1  # one is a connection's
    written = app.written().splitlines()
    assert [line for line in written if line in MESSAGES] == [m for m in MESSAGES if "Exception" not in m]
    assert browser.answers[0].cookies


def test_console(bare: pathlib.Path, folder: pathlib.Path) -> None:
    """OTEL_TRACES_EXPORTER=console prints the spans, ids on them; the other signals stay in the local store."""
    with started(bare, folder, *COMMAND, OTEL_TRACES_EXPORTER="console") as app:
        browser = Browser(app.url)
        browser.get("/deals")
        telemetry = app.telemetry()
    assert telemetry.counts["spans"] == 0
    assert telemetry.messages(browser.session_id) == MESSAGES[:1]
    assert app.written().count(f'"session.id": "{browser.session_id}"') == 3
    told = re.findall(r'"name": "((?:GET|SELECT|connect)[^"]*)"', app.written())
    assert sorted(told) == ["GET /deals", "SELECT deals", "connect"]


CONFIG_FILE = """
file_format: "1.1"
resource:
  detection/development:
    detectors:
      - otel_session_build:
propagator:
  composite_list: "tracecontext,baggage"
tracer_provider:
  processors:
    - batch: {exporter: {otel_session_local: }}
logger_provider:
  processors:
    - batch: {exporter: {otel_session_local: }}
meter_provider:
  readers:
    - periodic: {exporter: {otel_session_local: }}
"""
STAMP = '{"commit": "512fbfe", "branch": "main", "timestamp": "2025-12-16T07:26:50+00:00", "build_date": ""}'


def test_config_file(declarative: pathlib.Path, folder: pathlib.Path) -> None:
    """A declarative configuration file that names our exporter and our detector works, ids and build included."""
    (folder / "build_stamp.json").write_text(STAMP)
    (folder / "otel.yaml").write_text(CONFIG_FILE)
    with started(declarative, folder, *COMMAND, OTEL_CONFIG_FILE="otel.yaml") as app:
        browsers = visited(app.url)
        telemetry = app.telemetry()
    for browser in browsers:
        assert_session_is_right(telemetry, browser)
        resources = [view.resource for view in telemetry.spans[browser.session_id]]
        assert {resource["vcs.ref.head.revision"] for resource in resources} == {"512fbfe"}
    assert telemetry.metric_names >= METRICS
    assert not lines_with("build stamp", app.written())


def test_config_file_without_our_parts(declarative: pathlib.Path, folder: pathlib.Path) -> None:
    """A file that does not name the detector gets the line that says so; ids are on what its exporter prints."""
    (folder / "build_stamp.json").write_text(STAMP)
    source = 'file_format: "1.1"\ntracer_provider:\n  processors:\n    - simple: {exporter: {console: }}\n'
    (folder / "otel.yaml").write_text(source)
    with started(declarative, folder, *COMMAND, OTEL_CONFIG_FILE="otel.yaml") as app:
        browser = Browser(app.url)
        assert browser.get("/deals").correlation_id
        app.stop(signal.SIGINT)
    assert app.written().count(f'"session.id": "{browser.session_id}"') == 3
    assert len(lines_with("name the detector in OTEL_CONFIG_FILE", app.written())) == 1
    assert not app.store.exists()


def test_config_file_without_its_package(bare: pathlib.Path, folder: pathlib.Path) -> None:
    """A configuration file without the package that reads it is one line that says what to install; the app runs on."""
    (folder / "otel.yaml").write_text(CONFIG_FILE)
    with started(bare, folder, *COMMAND, OTEL_CONFIG_FILE="otel.yaml") as app:
        assert Browser(app.url).get("/deals").status == 200
        app.stop()
    (said,) = lines_with("OTEL_CONFIG_FILE", app.written())
    assert "pip install opentelemetry-configuration" in said
    assert "Traceback" not in app.written()
    assert not app.store.exists()
