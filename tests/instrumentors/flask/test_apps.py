"""Which applications are covered: made before or after, several, mounted, subclassed, one only; and none afterwards."""

import subprocess
import sys
from typing import Any

import flask
import pytest
from flask.app import Flask
from opentelemetry import propagate
from opentelemetry.instrumentation.propagators import get_global_response_propagator
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

import otel_session
from otel_session import testing
from tests.instrumentors.flask.served import instrumented, make_app, set_cookies


def _kinds(telemetry: testing.Captured) -> list[tuple[str, str]]:
    return [(s.name, s.kind.name) for s in telemetry.spans()]


def test_made_before() -> None:
    """An application made and used before `instrument()` is covered."""
    app = make_app()
    assert "X-Correlation-ID" not in app.test_client().get("/").headers

    with instrumented() as telemetry:
        app.test_client().get("/")

    assert _kinds(telemetry) == [("GET /", "SERVER")]


def test_several(telemetry: testing.Captured) -> None:
    """Several applications in one process each have their spans; a browser's session is one in all of them."""
    cookie = None
    for name in ("one", "two"):
        client = make_app(name).test_client()
        if cookie:
            client.set_cookie(cookie.key, cookie.value)
        client.get("/")
        cookie = client.get_cookie("otel_session")

    assert len(telemetry.spans()) == 2
    assert len({s.attributes["session.id"] for s in telemetry.spans()}) == 1


def test_dispatcher_outside(telemetry: testing.Captured) -> None:
    """Applications under a dispatcher have one span for each request."""
    client = Client(DispatcherMiddleware(make_app("a"), {"/b": make_app("b")}))

    client.get("/")
    client.get("/b/")

    assert [kind for _, kind in _kinds(telemetry)] == ["SERVER", "SERVER"]


def test_dispatcher_inside(telemetry: testing.Captured) -> None:
    """An application mounted inside another makes no second span, cookie or correlation id."""
    app = make_app("outer")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/in": make_app("inner")})  # type: ignore[method-assign]

    response = app.test_client().get("/in/deals/1")

    assert _kinds(telemetry) == [("GET /in/deals/<int:deal_id>", "SERVER")]
    assert len(set_cookies(response)) == len(response.headers.getlist("X-Correlation-ID")) == 1


class _Middleware:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/cached":
            start_response("200 OK", [("Content-Length", "6")])
            return [b"cached"]
        yield_late = self.inner(environ, start_response)
        return (part for part in yield_late)


def test_wrapped_before() -> None:
    """A middleware put around `app.wsgi_app` before `instrument()` is inside the span, what it answers itself too."""
    app = make_app()
    app.wsgi_app = _Middleware(app.wsgi_app)  # type: ignore[method-assign]
    with instrumented() as telemetry:
        client = app.test_client()
        client.get("/", buffered=True)
        response = client.get("/cached")

    assert _kinds(telemetry) == [("GET /", "SERVER"), ("GET", "SERVER")]
    assert response.headers["X-Correlation-ID"] == telemetry.spans()[1].attributes["correlation.id"]


def test_served_by_wsgi_app(telemetry: testing.Captured) -> None:
    """A server that was given `app.wsgi_app` rather than the application is covered as well."""
    Client(make_app().wsgi_app).get("/")

    assert _kinds(telemetry) == [("GET /", "SERVER")]


class _Sub(flask.Flask):
    def wsgi_app(self, environ: Any, start_response: Any) -> Any:
        environ["seen"] = True
        return super().wsgi_app(environ, start_response)

    def full_dispatch_request(self, *args: Any) -> Any:
        return super().full_dispatch_request(*args)


class _SubCall(flask.Flask):
    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.wsgi_app(environ, start_response)


@pytest.mark.parametrize("kind", [_Sub, _SubCall])
def test_subclass(telemetry: testing.Captured, kind: type[flask.Flask]) -> None:
    """A subclass with entry points of its own makes one span."""
    app = kind("sub")
    app.add_url_rule("/", view_func=lambda: "sub")

    app.test_client().get("/")

    assert _kinds(telemetry) == [("GET /", "SERVER")]


def test_one_only() -> None:
    """`instrument(app=…)` covers that application and leaves another alone: no span, header, cookie or error."""
    one, other = make_app("one"), make_app("other")
    other.add_url_rule("/fail", "fail", lambda: 1 / 0)
    with instrumented(app=one) as telemetry:
        one.test_client().get("/")
        response = other.test_client().get("/fail")
        assert _kinds(telemetry) == [("GET /", "SERVER")]
        assert not {"X-Correlation-ID", "Set-Cookie"} & set(response.headers.keys())

        otel_session.instrument(app=other)
        other.test_client().get("/")
        assert len(telemetry.spans()) == 2


def test_twice_is_once() -> None:
    """A second `instrument()` doubles nothing."""
    with instrumented() as telemetry:
        otel_session.instrument(**telemetry.providers)
        response = make_app().test_client().get("/")

    assert len(telemetry.spans()) == 1
    assert len(response.headers.getlist("X-Correlation-ID")) == len(set_cookies(response)) == 1


def test_uninstrument_leaves_no_trace() -> None:
    """Afterwards Flask's class, its signals, the propagators and the providers' processors are what they were."""

    def state() -> list[Any]:
        return [
            dict(vars(Flask)),
            list(flask.got_request_exception.receivers),
            propagate.get_global_textmap(),
            get_global_response_propagator(),
        ]

    before = state()
    with instrumented() as telemetry:
        make_app().test_client().get("/")
        assert state() != before
        tracer, logger = telemetry.providers["tracer_provider"], telemetry.providers["logger_provider"]
        assert len(tracer._active_span_processor._span_processors) == 2

        otel_session.uninstrument()

        assert state() == before
        assert len(tracer._active_span_processor._span_processors) == 1
        assert len(logger._multi_log_record_processor._log_record_processors) == 1
        telemetry.clear()
        response = make_app().test_client().get("/deals/1")
        assert telemetry.spans() == []
        assert telemetry.logs() == []
        assert not {"X-Correlation-ID", "Set-Cookie"} & set(response.headers.keys())


def test_wrapped_by_another_afterwards() -> None:
    """When somebody patched Flask after us, `uninstrument()` leaves their patch, and ours does nothing in it."""
    original = Flask.__dict__["__call__"]
    with instrumented() as telemetry:
        inside = Flask.__dict__["__call__"]
        Flask.__call__ = lambda app, environ, start: inside(app, environ, start)  # type: ignore[method-assign]
        otel_session.uninstrument()
        try:
            response = make_app().test_client().get("/")
        finally:
            Flask.__call__ = original  # type: ignore[method-assign]

    assert telemetry.spans() == []
    assert "X-Correlation-ID" not in response.headers


@pytest.mark.parametrize(
    "variable",
    [("OTEL_SDK_DISABLED", "true"), ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "otel_session_flask")],
)
def test_switched_off(monkeypatch: pytest.MonkeyPatch, variable: tuple[str, str]) -> None:
    """The standard switches stop spans, headers, cookies and patches."""
    monkeypatch.setenv(*variable)
    before = dict(vars(Flask))
    with instrumented() as telemetry:
        assert dict(vars(Flask)) == before
        response = make_app().test_client().get("/")

    assert telemetry.spans() == []
    assert not {"X-Correlation-ID", "Set-Cookie"} & set(response.headers.keys())


def test_sdk_disabled_with_our_propagator_named() -> None:
    """With `OTEL_SDK_DISABLED` our propagator, even named in `OTEL_PROPAGATORS`, puts nobody into a context."""
    code = (
        "from opentelemetry import propagate\n"
        "from otel_session import context\n"
        "print(context.current(propagate.extract({'host': 'shop', 'cookie': ''})))"
    )
    for disabled, expected in (("true", b"None"), ("false", b"Identity")):
        environ = {"OTEL_SDK_DISABLED": disabled, "OTEL_PROPAGATORS": "tracecontext,baggage,otel_session"}
        done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, check=True)
        assert expected in done.stdout
