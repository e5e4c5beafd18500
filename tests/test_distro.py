"""Start-up in code and by hooks: on once, off without a trace, mistakes said at once, nobody else's set-up lost."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from opentelemetry import propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.instrumentation import propagators as response_propagators
from opentelemetry.instrumentation.distro import BaseDistro
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import otel_session
from otel_session import activation, config, destinations, distro, termination, testing
from otel_session.config import Config
from otel_session.exceptions import ConfigError
from otel_session.propagators import BothResponsePropagators, SessionPropagator, SessionResponsePropagator


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Each test leaves the process as it found it."""
    before = propagate.get_global_textmap(), response_propagators.get_global_response_propagator()
    yield
    otel_session.uninstrument()
    assert (propagate.get_global_textmap(), response_propagators.get_global_response_propagator()) == before
    assert not activation.is_on()


def run(code: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    import os

    environ = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={**environ, **variables}
    )


def names_of(composite: Any) -> list[str]:
    return [type(p).__name__ for p in composite._propagators]


def test_on_and_off() -> None:
    """On adds the propagators once, however often it is called; off puts back the very objects that were there."""
    textmap = propagate.get_global_textmap()
    with testing.captured() as telemetry:
        for _ in range(2):
            otel_session.instrument(**telemetry.providers)
            first = propagate.get_global_textmap()
            otel_session.instrument(**telemetry.providers)
            assert propagate.get_global_textmap() is first
            assert names_of(first)[-1] == "SessionPropagator"
            assert isinstance(response_propagators.get_global_response_propagator(), SessionResponsePropagator)
            otel_session.uninstrument()
            otel_session.uninstrument()
            assert propagate.get_global_textmap() is textmap
            assert response_propagators.get_global_response_propagator() is None


def test_propagator_named_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OTEL_PROPAGATORS names ours already, it is not added again; with `none`, none is added."""
    before = propagate.get_global_textmap()
    named = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator(), SessionPropagator()])
    propagate.set_global_textmap(named)
    try:
        with testing.captured() as telemetry:
            otel_session.instrument(**telemetry.providers)
            assert propagate.get_global_textmap() is named
            otel_session.uninstrument()
            propagate.set_global_textmap(before)
            monkeypatch.setenv("OTEL_PROPAGATORS", "none")
            otel_session.instrument(**telemetry.providers)
            assert propagate.get_global_textmap() is before
    finally:
        propagate.set_global_textmap(before)


def test_response_propagator_of_others() -> None:
    """A response propagator that was there before keeps its work beside ours, and is alone again afterwards."""
    carried: list[str] = []

    class Theirs(response_propagators.ResponsePropagator):
        def inject(self, carrier: Any, context: Context | None = None, setter: Any = None) -> None:
            carried.append("theirs")

    theirs = Theirs()
    response_propagators.set_global_response_propagator(theirs)
    try:
        with testing.captured() as telemetry:
            otel_session.instrument(**telemetry.providers)
            both = response_propagators.get_global_response_propagator()
            assert isinstance(both, BothResponsePropagators)
            headers: dict[str, str] = {}
            with otel_session.bound_session("visit-1", correlation_id="req-1"):
                both.inject(headers)
            assert carried == ["theirs"]
            assert headers["X-Correlation-ID"] == "req-1"
            otel_session.uninstrument()
            assert response_propagators.get_global_response_propagator() is theirs
    finally:
        response_propagators.set_global_response_propagator(None)


def test_no_session_but_a_correlation_id() -> None:
    """With OTEL_SESSION_SOURCE=none a request still has a correlation id, and nothing is set at the client."""
    app = Flask("shop")
    app.add_url_rule("/", view_func=lambda: "x")
    with testing.captured() as telemetry:
        otel_session.instrument(app=app, source="none", **telemetry.providers)
        response = app.test_client().get("/", headers={"X-Request-ID": "theirs-1"})
        extracted = propagate.extract({"host": "x", "x-request-id": "theirs-2"}, Context())
    assert response.headers["X-Correlation-ID"] == "theirs-1"
    assert "Set-Cookie" not in response.headers
    identity = otel_session.context.current(extracted)
    assert identity is not None
    assert (identity.session_id, identity.correlation_id) == (None, "theirs-2")


def test_mistakes_are_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong argument or variable raises, and leaves nothing switched on."""
    for settings in ({"idle_s": "soon"}, {"idel_s": 60}):
        with pytest.raises(ConfigError, match=r"ide?le?_s"):
            otel_session.instrument(**settings)
    with pytest.raises(ConfigError, match="an age above the delay"):
        otel_session.instrument(queue_max_age_s=2)
    monkeypatch.setenv("OTEL_PYTHON_EXCLUDED_URLS", "(")
    with pytest.raises(ConfigError, match="OTEL_PYTHON_EXCLUDED_URLS"):
        otel_session.instrument()
    assert not activation.is_on()
    assert not config.is_active()


def test_other_settings_later(telemetry: testing.Captured, caplog: pytest.LogCaptureFixture) -> None:
    """Settings of a second call that differ are ignored with a line that says so; the same ones say nothing."""
    before = config.active()
    otel_session.instrument(**telemetry.providers)
    otel_session.instrument(**telemetry.providers, idle_s=before.idle_s)
    assert caplog.messages == []
    otel_session.instrument(**telemetry.providers, idle_s=61)
    assert config.active() == before
    assert len(caplog.messages) == 1
    assert "Call otel_session.uninstrument() first" in caplog.messages[0]


def test_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SDK_DISABLED=true makes `instrument()` and the hook do nothing."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    otel_session.instrument(idle_s=60)
    distro.pre_instrument()
    assert not activation.is_on()
    assert not config.is_active()


def test_only_what_is_named() -> None:
    """With an app given, other apps are left alone; a further call adds another one."""
    apps = [Flask(name) for name in "abc"]
    for app in apps:
        app.add_url_rule("/", view_func=lambda: "x")
    with testing.captured() as telemetry:
        otel_session.instrument(app=apps[0], **telemetry.providers)
        otel_session.instrument(app=apps[1], **telemetry.providers)
        ids = ["X-Correlation-ID" in app.test_client().get("/").headers for app in apps]
    assert ids == [True, True, False]
    assert len(telemetry.spans()) == 2


def test_refusals_are_counted_where_the_metrics_go(telemetry: testing.Captured) -> None:
    """Refused values show up in the meter provider that was given, by source."""
    before = {p.attributes["otel_session.refused.source"]: p.value for p in telemetry.points("otel_session.refused")}
    propagate.extract({"host": "x", "x-correlation-id": "<script>"}, Context())
    after = {p.attributes["otel_session.refused.source"]: p.value for p in telemetry.points("otel_session.refused")}
    assert after["correlation"] == before.get("correlation", 0) + 1


@pytest.mark.parametrize("library", ["flask", "sqlalchemy"])
def test_missing_extra(library: str) -> None:
    """An app or engine without its library names the extra to install; without naming one, the rest is switched on."""
    argument = {"flask": "app", "sqlalchemy": "engine"}[library]
    code = f"import sys\nsys.modules[{library!r}] = None\nimport otel_session\n"
    named = run(code + f"otel_session.instrument({argument}=object())", OTEL_TRACES_EXPORTER="none")
    assert named.returncode == 1
    last = named.stderr.strip().splitlines()[-1]
    assert last == (
        f"otel_session.exceptions.MissingExtraError: The {library} instrumentor needs {library}. "
        f"Install it with: pip install 'otel-session[{library}]'"
    )
    silent = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "LOGS", "METRICS")}
    unnamed = run(code + "otel_session.instrument(); print('on')", **silent)
    assert (unnamed.stdout, unnamed.stderr) == ("on\n", "")


def test_hook_never_raises(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A failure in our hook would stop all auto-instrumentation, so it is a line in the log instead."""

    def broken(**_: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(activation, "activate", broken)
    distro.pre_instrument()
    assert caplog.messages == ["otel-session could not add its ids to the telemetry"]
    config.activate(None)


def test_distribution_hands_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The distribution in charge configures and loads instrumentors its own way; what is none is passed over."""
    calls: list[Any] = []

    class Theirs(BaseDistro):  # type: ignore[misc]
        def _configure(self, **kwargs: Any) -> None:
            calls.append("configure")

        def load_instrumentor(self, entry_point: Any, **kwargs: Any) -> None:
            calls.append((entry_point, kwargs))

    class Entry:
        def __init__(self, kind: Any) -> None:
            self.load = lambda: kind

    monkeypatch.setattr(distro, "_others", lambda group: [Entry(dict), Entry(Theirs)])
    ours = distro.Distribution()
    try:
        ours.configure()
        ours.load_instrumentor("entry", skip_dep_check=True)
        assert calls == ["configure", ("entry", {"skip_dep_check": True})]
    finally:
        distro.Distribution._instance = None


def test_zero_code_and_in_code() -> None:
    """`instrument(app=…)` in a program that was started instrumented makes no second span and no second cookie."""
    done = run(
        "from opentelemetry.instrumentation.auto_instrumentation import initialize\n"
        "initialize()\n"
        "from flask import Flask\n"
        "import otel_session\n"
        "app = Flask('shop')\n"
        "app.add_url_rule('/', view_func=lambda: 'x')\n"
        "otel_session.instrument(app=app)\n"
        "print(len(app.test_client().get('/').headers.getlist('Set-Cookie')))\n",
        OTEL_TRACES_EXPORTER="console",
        OTEL_LOGS_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
    )
    assert done.stdout.splitlines()[0] == "1", done.stderr
    assert done.stdout.count('"name": "GET /"') == 1


# --- Where telemetry goes ---

EVERYTHING = ("http/protobuf", "grpc")


def chosen(monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...], **variables: str) -> dict[str, list[str]]:
    monkeypatch.setattr(destinations, "_installed", lambda protocol: protocol in installed)
    monkeypatch.setattr(config, "environment", lambda: variables)
    return destinations.exporters(Config.load({}, store="/t.db"))


LOCAL, HTTP, GRPC = ["otel_session_local"], ["otlp_proto_http"], ["otlp_proto_grpc"]
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}


@pytest.mark.parametrize(
    ("installed", "variables", "traces", "logs", "metrics"),
    [
        ((), {}, LOCAL, LOCAL, LOCAL),
        (EVERYTHING, {}, LOCAL, LOCAL, LOCAL),
        (EVERYTHING, ENDPOINT, HTTP, HTTP, HTTP),
        (("grpc",), ENDPOINT, GRPC, GRPC, GRPC),
        (EVERYTHING, {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, GRPC, GRPC, GRPC),
        (EVERYTHING, {**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, GRPC, HTTP, HTTP),
        (EVERYTHING, {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c"}, LOCAL, LOCAL, HTTP),
        (EVERYTHING, {**ENDPOINT, "OTEL_LOGS_EXPORTER": "none"}, HTTP, [], HTTP),
        (EVERYTHING, {"OTEL_TRACES_EXPORTER": "otlp, otel_session_local"}, HTTP + LOCAL, LOCAL, LOCAL),
        (
            EVERYTHING,
            {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "prometheus"},
            ["console"],
            LOCAL,
            ["prometheus"],
        ),
        (EVERYTHING, {"OTEL_TRACES_EXPORTER": "otlp_proto_grpc"}, GRPC, LOCAL, LOCAL),
        ((), ENDPOINT, LOCAL, LOCAL, LOCAL),
        ((), {"OTEL_TRACES_EXPORTER": "otlp,otel_session_local"}, LOCAL, LOCAL, LOCAL),
        (EVERYTHING, {"OTEL_TRACES_EXPORTER": "  ", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}, LOCAL, LOCAL, LOCAL),
    ],
)
def test_destinations(
    monkeypatch: pytest.MonkeyPatch,
    installed: tuple[str, ...],
    variables: dict[str, str],
    traces: list[str],
    logs: list[str],
    metrics: list[str],
) -> None:
    """What the variables name, else OTLP where an endpoint is set, else the local store; each signal for itself."""
    found = chosen(monkeypatch, installed, **variables)
    assert found == {"trace_exporter_names": traces, "log_exporter_names": logs, "metric_exporter_names": metrics}


def test_missing_exporter_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Three signals without their exporter are one line."""
    chosen(monkeypatch, (), **ENDPOINT)
    assert len(caplog.messages) == 1
    assert "'http://c:4318', and no OTLP exporter for http/protobuf is installed" in caplog.messages[0]


# --- The end of the process ---


def test_a_handler_of_others_stays() -> None:
    """Where SIGTERM is handled already, or away from the main thread, we do not touch it."""
    mine = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        before = signal.getsignal(signal.SIGTERM)
        termination.flush_on_sigterm()
        assert signal.getsignal(signal.SIGTERM) is before
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        thread = threading.Thread(target=termination.flush_on_sigterm)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, mine)


def test_an_end_that_hangs_is_bounded() -> None:
    """An exporter that never comes back puts the end of the process off for the time allowed, and no longer."""
    code = (
        "import os, signal, time\n"
        "from opentelemetry import trace\n"
        "from otel_session import termination\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "class Stuck(TracerProvider):\n"
        "    def force_flush(self, timeout_millis=0):\n"
        "        time.sleep(60)\n"
        "trace.set_tracer_provider(Stuck(shutdown_on_exit=False))\n"
        "termination.PATIENCE_S = 0.5\n"
        "termination.flush_on_sigterm()\n"
        "print('ready', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "time.sleep(60)\n"
    )
    started_s = time.monotonic()
    done = run(code)
    assert done.stdout == "ready\n"
    assert done.returncode == -signal.SIGTERM
    assert 0.5 <= time.monotonic() - started_s < 10


def test_logger_of_ours_is_quiet_by_default(telemetry: testing.Captured, caplog: pytest.LogCaptureFixture) -> None:
    """Switching on and off says nothing."""
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []
