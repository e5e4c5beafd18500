"""Failures of ours: none reaches the application."""

import logging
from typing import Any

import pytest

from otel_session import _guard, propagation, testing
from otel_session.instrumentors.flask import known_later, request, server
from otel_session.recent_ids import RecentIds
from tests.instrumentors.flask.served import instrumented, make_app


def _fail(*_: Any, **__: Any) -> Any:
    raise RuntimeError("injected")


@pytest.fixture(autouse=True)
def _reports_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guard, "_reported", set())


PLACES = [
    (propagation, "identify"),
    (propagation, "_from_cookie"),
    (propagation, "response_headers"),
    (RecentIds, "first_time"),
    (propagation.visits, "new_visit"),
    (propagation.visits, "parse"),
    (propagation.events, "session_started"),
    (propagation.here, "put"),
    (server.Server, "_start_span"),
    (server.Server, "_arrived"),
    (server.Server, "ended"),
    (server, "_extracted"),
    (server, "span_name"),
    (server, "request_attributes"),
    (server, "identity_parts"),
    (server.EntryMaker, "start"),
    (server, "_measured"),
    (request.ServedRequest, "_look_at_route"),
    (request.ServedRequest, "_may_set_cookie"),
    (request.ServedRequest, "_answer"),
    (request.ServedRequest, "_describe"),
    (request, "get_global_response_propagator"),
    (request.failures, "message"),
    (request.failures, "type_name"),
    (request.failures, "stacktrace"),
    (known_later, "_name_user"),
    (known_later, "_opened_session"),
]


@pytest.mark.parametrize(("owner", "name"), PLACES, ids=[name for _, name in PLACES])
def test_injected(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Whatever of ours raises, each response has the status and the body that the application gave it."""
    monkeypatch.setattr(owner, name, _fail)
    with instrumented(user="auto"):
        app = make_app()
        app.add_url_rule("/fail", "fail", lambda: 1 / 0)
        client = app.test_client()
        got = [(r.status_code, r.text) for r in (client.get(p) for p in ("/", "/deals/1", "/fail"))]

    assert [status for status, _ in got] == [200, 200, 500]
    assert [text for _, text in got[:2]] == ["home", "deal 1"]


def test_reported_once(
    telemetry: testing.Captured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure of ours is told once in the log, however often it happens."""
    monkeypatch.setattr(propagation, "_from_cookie", _fail)
    client = make_app().test_client()

    with caplog.at_level(logging.WARNING, "otel_session"):
        for _ in range(5):
            client.get("/")

    told = [r for r in caplog.records if r.name == "otel_session"]
    assert 1 <= len(told) <= 2
    assert len({r.getMessage() for r in told}) == len(told)


def test_failing_processor(telemetry: testing.Captured) -> None:
    """A span processor of somebody else's that raises at the end does not break the response."""
    from opentelemetry.sdk.trace import SpanProcessor

    class Broken(SpanProcessor):
        def on_end(self, span: Any) -> None:
            raise RuntimeError("theirs")

    telemetry.providers["tracer_provider"].add_span_processor(Broken())

    assert make_app().test_client().get("/").text == "home"


def test_failing_response_propagator(telemetry: testing.Captured) -> None:
    """A response propagator of somebody else's that raises does not cost us our own headers."""
    from opentelemetry.instrumentation.propagators import (
        ResponsePropagator,
        get_global_response_propagator,
        set_global_response_propagator,
    )

    from otel_session.propagators import BothResponsePropagators

    class Broken(ResponsePropagator):
        def inject(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("theirs")

    before = get_global_response_propagator()
    set_global_response_propagator(BothResponsePropagators(Broken()))
    try:
        response = make_app().test_client().get("/")
    finally:
        set_global_response_propagator(before)

    assert {"X-Correlation-ID", "Set-Cookie"} <= set(response.headers.keys())
