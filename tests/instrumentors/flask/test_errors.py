"""Errors: handled, unhandled, passed through; what is one, and what of it may be told."""

from typing import Any

import flask
import pytest
from flask import got_request_exception
from sqlalchemy import create_engine, text
from werkzeug.exceptions import ServiceUnavailable

from otel_session import testing
from tests.instrumentors.flask.served import active, everything, instrumented, make_app


def _failing(error: Exception | None = None, **config: Any) -> flask.Flask:
    app = make_app(**config)

    @app.get("/fail")
    def fail() -> str:
        raise error or LookupError("no such deal")

    return app


def _exception_events(span: Any) -> list[str]:
    return [e.attributes["exception.type"] for e in span.events if e.name == "exception"]


def test_unhandled(telemetry: testing.Captured) -> None:
    """An unhandled exception makes the span an error with type, message and stack, and the metric tells the type."""
    response = _failing().test_client().get("/fail")

    assert response.status_code == 500
    (span,) = telemetry.spans()
    assert (span.name, span.status.status_code.name) == ("GET /fail", "ERROR")
    assert span.status.description == "no such deal"
    assert span.attributes["error.type"] == "LookupError"
    assert span.attributes["http.response.status_code"] == 500
    (event,) = span.events
    assert event.attributes["exception.message"] == "no such deal"
    assert "in fail\n" in event.attributes["exception.stacktrace"]
    (point,) = telemetry.points("http.server.request.duration")
    assert point.attributes["error.type"] == "LookupError"
    assert active(telemetry) == 0


@pytest.mark.parametrize("handled", [Exception, LookupError, 500])
def test_handled_as_an_error(telemetry: testing.Captured, handled: Any) -> None:
    """A handler that answers 500 leaves the exception's own type on the span."""
    app = _failing()
    app.register_error_handler(handled, lambda error: ("sorry", 500))

    response = app.test_client().get("/fail")

    assert response.text == "sorry"
    (span,) = telemetry.spans()
    assert span.attributes["error.type"] == "LookupError"
    assert _exception_events(span) == ["LookupError"]


@pytest.mark.parametrize("status", [200, 404])
def test_handled_as_no_error(telemetry: testing.Captured, status: int) -> None:
    """A handler that answers below 500 makes the request no error, and its exception is not recorded."""
    app = _failing()
    app.register_error_handler(Exception, lambda error: ("never mind", status))

    app.test_client().get("/fail")

    (span,) = telemetry.spans()
    assert span.status.status_code.name == "UNSET"
    assert "error.type" not in span.attributes
    assert span.events == ()
    assert span.attributes["http.response.status_code"] == status


@pytest.mark.parametrize("settings", [{"TESTING": True}, {"PROPAGATE_EXCEPTIONS": True}])
def test_passed_through(telemetry: testing.Captured, settings: dict[str, bool]) -> None:
    """An exception that Flask passes on to the server reaches it, and is on the span without a status code."""
    with pytest.raises(LookupError, match="no such deal"):
        _failing(**settings).test_client().get("/fail")

    (span,) = telemetry.spans()
    assert (span.status.status_code.name, span.attributes["error.type"]) == ("ERROR", "LookupError")
    assert "http.response.status_code" not in span.attributes
    assert active(telemetry) == 0


def test_abort_500(telemetry: testing.Captured) -> None:
    """`abort(500)` and other 5xx exceptions are errors of that exception's type."""
    client = _failing(ServiceUnavailable("later")).test_client()

    assert client.get("/fail").status_code == 503

    (span,) = telemetry.spans()
    assert span.status.status_code.name == "ERROR"
    assert span.attributes["error.type"] == "werkzeug.exceptions.ServiceUnavailable"


def test_returned_500(telemetry: testing.Captured) -> None:
    """A 5xx answer without an exception is an error of that status."""
    app = make_app()
    app.add_url_rule("/down", view_func=lambda: ("down", 503))

    app.test_client().get("/down")

    (span,) = telemetry.spans()
    assert (span.status.status_code.name, span.attributes["error.type"]) == ("ERROR", "503")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 418, 429])
def test_client_errors(telemetry: testing.Captured, status: int) -> None:
    """A 4xx answer is the client's error, not the server's: the span stays unset."""
    app = make_app()
    app.add_url_rule("/denied", view_func=lambda: flask.abort(status))

    assert app.test_client().get("/denied").status_code == status

    (span,) = telemetry.spans()
    assert span.status.status_code.name == "UNSET"
    assert "error.type" not in span.attributes
    assert span.events == ()


def test_signal_of_an_extension(telemetry: testing.Captured) -> None:
    """An extension that handles errors itself and sends Flask's signal, as Flask-RESTful does, is understood."""
    app = make_app()

    @app.get("/api")
    def api() -> Any:
        try:
            raise LookupError("no such deal")
        except LookupError as error:
            got_request_exception.send(app, exception=error)
            return flask.jsonify(message="Internal Server Error"), 500

    app.test_client().get("/api")

    assert telemetry.spans()[0].attributes["error.type"] == "LookupError"


@pytest.mark.parametrize("mode", ["teardown", "before", "after"])
def test_errors_outside_of_the_view(telemetry: testing.Captured, mode: str) -> None:
    """Exceptions in functions around the view are on the span too."""
    app = make_app()

    def fail(*_: Any) -> Any:
        raise LookupError(mode)

    {"teardown": app.teardown_request, "before": app.before_request, "after": app.after_request}[mode](fail)
    if mode == "teardown":
        with pytest.raises(LookupError):
            app.test_client().get("/")
    else:
        assert app.test_client().get("/").status_code == 500

    (span,) = telemetry.spans()
    assert (span.status.status_code.name, span.attributes["error.type"]) == ("ERROR", "LookupError")


def test_sql_values_stay_here(telemetry: testing.Captured) -> None:
    """A SQLAlchemy error's statement and parameters are nowhere in the telemetry, its type and stack are."""
    engine = create_engine("sqlite://")
    app = make_app()
    value = "Ada " + "geheim".upper()

    @app.get("/sql")
    def sql() -> str:
        with engine.connect() as connection:
            connection.execute(text("INSERT INTO people VALUES (:name)"), {"name": value})
        return "unreachable"

    app.test_client().get("/sql")

    span = next(s for s in telemetry.spans() if s.kind.name == "SERVER")
    assert span.attributes["error.type"] == "sqlalchemy.exc.OperationalError"
    assert "in sql\n" in span.events[0].attributes["exception.stacktrace"]
    assert "GEHEIM" not in everything(telemetry)


def test_exceptions_as_logs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN=logs` exceptions are log records and not span events."""
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs")
    with instrumented() as telemetry:
        _failing().test_client().get("/fail")

    assert telemetry.spans()[0].events == ()
    assert telemetry.logs()[0].log_record.attributes["exception.type"] == "LookupError"
