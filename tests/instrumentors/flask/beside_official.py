"""A Flask visit with the official Flask instrumentation active, told as JSON. Run in an environment that has it."""

import contextlib
import json
import logging
import sys
import tempfile
import warnings
from typing import Any

from otel_session import testing


def make_app() -> Any:
    """The application, made with whatever `flask.Flask` is now."""
    import flask
    import flask_login

    import otel_session

    app = flask.Flask("beside", static_folder=tempfile.mkdtemp(), static_url_path="/static")
    app.secret_key = "a key for tests only"
    manager = flask_login.LoginManager(app)

    class User(flask_login.UserMixin):
        def __init__(self, name: str) -> None:
            self.id = name

    manager.user_loader(User)

    @app.get("/deals/<int:deal_id>")
    def deal(deal_id: int) -> str:
        logging.getLogger("deals").warning("deal")
        return str(otel_session.current_session())

    @app.get("/fail")
    def fail() -> str:
        raise LookupError("no such deal")

    @app.get("/login")
    def login() -> str:
        flask_login.login_user(User("ada"))
        return "in"

    @app.get("/stream")
    def stream() -> Any:
        return flask.Response(flask.stream_with_context(str(otel_session.current_session()) for _ in range(1)))

    return app


def visit(telemetry: testing.Captured) -> dict[str, Any]:
    """A browser's visit."""
    client = make_app().test_client()
    paths = ("/deals/7", "/static/none.css", "/none", "/fail", "/login", "/deals/8", "/stream")
    answers = [client.get(p) for p in paths]
    texts = [a.text for a in answers]
    spans = telemetry.spans()
    return {
        "statuses": [a.status_code for a in answers],
        "cookies": [sum(v.startswith("otel_session=") for v in a.headers.getlist("Set-Cookie")) for a in answers],
        "correlation headers": [a.headers.getlist("X-Correlation-ID") for a in answers],
        "correlation ids": [s.attributes.get("correlation.id") for s in spans],
        "session ids": sorted({str(s.attributes.get("session.id")) for s in spans}),
        "seen inside": sorted({texts[0], texts[5], texts[6]}),
        "spans": [(s.name, s.kind.name, s.instrumentation_scope.name) for s in spans],
        "confirmed": [s.attributes.get("otel_session.session.confirmed") for s in spans],
        "users": [s.attributes.get("user.hash") for s in spans],
        "logs": [(r.log_record.attributes or {}).get("session.id") for r in telemetry.logs()],
        "log traces": [f"{r.log_record.trace_id:x}" for r in telemetry.logs() if r.log_record.event_name is None],
        "traces": [f"{s.context.trace_id:x}" for s in spans],
    }


def main() -> None:
    """Print what was recorded. The argument says which instrumentation is switched on first."""
    warnings.filterwarnings("error", module="otel_session")
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    import otel_session

    with testing.captured() as telemetry, contextlib.ExitStack() as off:
        tracer, meter = telemetry.providers["tracer_provider"], telemetry.providers["meter_provider"]

        def theirs() -> None:
            FlaskInstrumentor().instrument(tracer_provider=tracer, meter_provider=meter)
            off.callback(FlaskInstrumentor().uninstrument)

        def ours() -> None:
            otel_session.instrument(**telemetry.providers)
            off.callback(otel_session.uninstrument)

        for switch_on in (theirs, ours) if sys.argv[1] == "theirs" else (ours, theirs):
            switch_on()
        print(json.dumps(visit(telemetry)))


if __name__ == "__main__":
    main()
