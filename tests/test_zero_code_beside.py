"""Zero code beside the official distribution and the official instrumentations: whose pipeline, and nothing doubled.

The official distribution does not watch for SIGTERM, so these applications are interrupted.
"""

import itertools
import json
import pathlib
import signal
import subprocess
from collections import Counter

import pytest

from tests.environments import python_with
from tests.started import (
    MESSAGES,
    PAGES,
    Browser,
    Telemetry,
    correlation_of,
    environ_for,
    flask_folder,
    started,
    visited,
)

COMMAND = ("opentelemetry-instrument", "flask", "--app", "app", "run", "--port", "{port}")
DISTRIBUTION = "opentelemetry-distro>=0.61b0"
LOCAL = {f"OTEL_{signal}_EXPORTER": "otel_session_local" for signal in ("TRACES", "LOGS", "METRICS")}
SILENT = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "LOGS", "METRICS")}
STAMP = '{"commit": "512fbfe", "branch": "main", "timestamp": "2025-12-16T07:26:50+00:00", "build_date": ""}'


@pytest.fixture(scope="session")
def beside() -> pathlib.Path:
    return python_with(DISTRIBUTION, extras="flask,sqlalchemy")


@pytest.fixture(scope="session")
def official() -> pathlib.Path:
    return python_with(DISTRIBUTION, "sqlalchemy==2.0.*", extras="flask,sqlalchemy,contrib")


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "build_stamp.json").write_text(STAMP)
    return flask_folder(tmp_path)


def distribution_of(telemetry: Telemetry, browser: Browser) -> object:
    return telemetry.spans[browser.session_id][0].resource.get("telemetry.distro.name")


def test_not_named(beside: pathlib.Path, folder: pathlib.Path) -> None:
    """Beside the official distribution ours hands over: its pipeline, our ids, and one line about the build stamp."""
    with started(beside, folder, *COMMAND, **LOCAL) as app:
        browsers = visited(app.url)
        telemetry = app.telemetry(signal.SIGINT)
    for browser in browsers:
        assert [s.attributes["url.path"] for s in telemetry.requests(browser.session_id)] == list(PAGES)
        assert telemetry.messages(browser.session_id) == MESSAGES
        received = [answer.correlation_id for answer in browser.answers]
        assert [correlation_of(s) for s in telemetry.requests(browser.session_id)] == received
        assert distribution_of(telemetry, browser) is None
    assert telemetry.counts["spans"] == 18 + 1  # one is a connection's
    assert app.written().count("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS=otel_session_build") == 1


def test_not_named_with_the_detector(beside: pathlib.Path, folder: pathlib.Path) -> None:
    """What that line says works: the build is on the official distribution's telemetry, and the line is gone."""
    detectors = {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "otel_session_build,otel"}
    with started(beside, folder, *COMMAND, **LOCAL, **detectors) as app:
        (browser,) = visited(app.url, 1)
        telemetry = app.telemetry(signal.SIGINT)
    assert telemetry.spans[browser.session_id][0].resource["vcs.ref.head.revision"] == "512fbfe"
    assert "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS" not in app.written()


def test_named(beside: pathlib.Path, folder: pathlib.Path) -> None:
    """Named in OTEL_PYTHON_DISTRO, ours makes the pipeline: local store, build stamp, no setting needed."""
    with started(beside, folder, *COMMAND, OTEL_PYTHON_DISTRO="otel_session") as app:
        (browser,) = visited(app.url, 1)
        telemetry = app.telemetry(signal.SIGINT)
    assert distribution_of(telemetry, browser) == "otel-session"
    assert telemetry.spans[browser.session_id][0].resource["vcs.ref.head.revision"] == "512fbfe"
    assert telemetry.counts["spans"] == 9 + 1  # one is a connection's
    assert "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS" not in app.written()


def test_otel_session_run_names_ours(beside: pathlib.Path, folder: pathlib.Path) -> None:
    """`otel-session run` takes ours whoever else is installed."""
    with started(beside, folder, "otel-session", "run", "--", *COMMAND[1:]) as app:
        (browser,) = visited(app.url, 1)
        telemetry = app.telemetry(signal.SIGINT)
    assert distribution_of(telemetry, browser) == "otel-session"


_LOAD = """
import json, logging, sys
from importlib.metadata import entry_points
from opentelemetry import trace

def load(group, name):
    (found,) = entry_points(group=group, name=name)
    return found.load()()

distro, configurator = sys.argv[1:]
load("opentelemetry_distro", distro).configure()
load("opentelemetry_configurator", configurator).configure(auto_instrumentation_version="0")
load("opentelemetry_configurator", configurator)
from otel_session.distro import pre_instrument
pre_instrument()
provider = trace.get_tracer_provider()
processors = [type(p).__name__ for p in provider._active_span_processor._span_processors]
print(json.dumps([provider.resource.attributes.get("telemetry.distro.name"), processors]))
"""


def loaded(python: pathlib.Path, distro: str, configurator: str, **variables: str) -> tuple[str | None, list[str], str]:
    """Who made the pipeline, its span processors, and standard error, when a loader comes upon these two first."""
    done = subprocess.run(
        [python, "-c", _LOAD, distro, configurator],
        env=environ_for(python, **variables),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    made_by, processors = json.loads(done.stdout)
    return made_by, processors, done.stderr


@pytest.mark.parametrize(
    ("distro", "configurator"),
    list(itertools.product(("otel_session", "distro"), ("otel_session", "configurator"))),
)
def test_either_order_of_the_loader(beside: pathlib.Path, distro: str, configurator: str) -> None:
    """With nobody named it does not matter which two the loader comes upon: the official pipeline, with our ids."""
    made_by, processors, _ = loaded(beside, distro, configurator, **SILENT)
    assert made_by is None
    assert processors == ["IdentitySpanProcessor"]


@pytest.mark.parametrize("distro", ["otel_session", "distro"])
def test_only_the_configurator_is_named(beside: pathlib.Path, tmp_path: pathlib.Path, distro: str) -> None:
    """With only OTEL_PYTHON_CONFIGURATOR naming ours, it makes the pipeline, by the official distribution's defaults.

    Those are OTLP by gRPC, which is not installed here: one line says so, and the local store takes its place.
    """
    made_by, processors, errors = loaded(
        beside,
        distro,
        "otel_session",
        OTEL_PYTHON_CONFIGURATOR="otel_session",
        OTEL_SESSION_STORE=str(tmp_path / "t.db"),
    )
    assert made_by == "otel-session"
    assert len(processors) == 2
    assert processors[-1] == "IdentitySpanProcessor"
    assert errors.count("\n") == 1
    assert "OTEL_TRACES_EXPORTER names otlp, and no OTLP exporter for grpc is installed" in errors
    assert "pip install 'otel-session[otlp-grpc]'" in errors


@pytest.mark.parametrize("named", [{}, {"OTEL_PYTHON_DISTRO": "otel_session"}], ids=["theirs", "ours"])
def test_official_instrumentations(official: pathlib.Path, folder: pathlib.Path, named: dict[str, str]) -> None:
    """The official Flask, SQLAlchemy and logging instrumentations keep their spans and records: no doubles, our ids."""
    with started(official, folder, *COMMAND, **LOCAL, **named) as app:
        browsers = visited(app.url)
        telemetry = app.telemetry(signal.SIGINT)
    for browser in browsers:
        spans = telemetry.spans[browser.session_id]
        received = [answer.correlation_id for answer in browser.answers]
        requests = telemetry.requests(browser.session_id)
        assert [correlation_of(span) for span in requests] == received
        assert {span.scope for span in requests} == {"opentelemetry.instrumentation.flask"}
        names = Counter(span.name.split()[0] for span in spans if span.kind == "CLIENT")
        assert names == {"connect": 3, "SELECT": 3}, app.written()
        assert {s.scope for s in spans if s.kind == "CLIENT"} == {"opentelemetry.instrumentation.sqlalchemy"}
        assert telemetry.messages(browser.session_id) == MESSAGES
        assert [len(answer.cookies) for answer in browser.answers] == [1, 1, 0, 0, 0, 0]
    telemetry_names = telemetry.metric_names
    assert "http.server.request.duration" not in telemetry_names, "ours counts requests beside the official one"


@pytest.mark.parametrize(
    ("disabled", "request_scope", "statement_scope"),
    [
        ("flask", "otel_session.flask", "opentelemetry.instrumentation.sqlalchemy"),
        ("sqlalchemy", "opentelemetry.instrumentation.flask", "otel_session.sqlalchemy"),
        ("flask,sqlalchemy,logging", "otel_session.flask", "otel_session.sqlalchemy"),
    ],
)
def test_official_ones_disabled(
    official: pathlib.Path, folder: pathlib.Path, disabled: str, request_scope: str, statement_scope: str
) -> None:
    """Where an official instrumentation is installed and disabled by its name, ours takes its place."""
    with started(official, folder, *COMMAND, **LOCAL, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled) as app:
        (browser,) = visited(app.url, 1)
        telemetry = app.telemetry(signal.SIGINT)
    spans = telemetry.spans[browser.session_id]
    assert {span.scope for span in spans if span.is_request} == {request_scope}
    assert {span.scope for span in spans if span.kind == "CLIENT"} == {statement_scope}
    assert telemetry.messages(browser.session_id) == MESSAGES
