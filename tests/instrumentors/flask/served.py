"""Applications to be served, a real server for them, and a look at all that was recorded."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import flask
from werkzeug.serving import WSGIRequestHandler, make_server

import otel_session
from otel_session import testing, visits

COOKIE = "otel_session"


@contextlib.contextmanager
def instrumented(sampler: Any = None, **settings: Any) -> Iterator[testing.Captured]:
    """Everything switched on with these settings, telemetry in memory; nothing stays behind."""
    with testing.captured(sampler) as telemetry:
        otel_session.instrument(**telemetry.providers, **settings)
        try:
            yield telemetry
        finally:
            otel_session.uninstrument()


def make_app(name: str = "shop", **settings: Any) -> flask.Flask:
    """An application with one page, one rule with a converter, and one that logs."""
    app = flask.Flask(name)
    app.config.update(settings)

    @app.get("/")
    def home() -> str:
        return "home"

    @app.get("/deals/<int:deal_id>")
    def deal(deal_id: int) -> str:
        app.logger.warning("deal %d", deal_id)
        return f"deal {deal_id}"

    @app.post("/deals")
    def create() -> str:
        return "made"

    return app


class _Handler(WSGIRequestHandler):
    def log(self, *args: Any) -> None:
        """No access log."""


@contextlib.contextmanager
def server(app: Any) -> Iterator[int]:
    """A threaded Werkzeug server with this application; gives its port."""
    made = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made.server_port
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def raw(port: int, sent: bytes) -> bytes:
    """What a server answers to these bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65_536):
                received += chunk
    return received


def wait_for(found: Callable[[], Any], within_s: float = 5.0) -> Any:
    """What a function gives as soon as it is true; the server ends a request after its client has the answer."""
    until = time.monotonic() + within_s
    while not (got := found()) and time.monotonic() < until:
        time.sleep(0.005)
    return got


def crafted(*, start_s: float, last_s: float, secret: bytes | None = None) -> visits.Visit:
    """A visit that began and was last used so many seconds ago."""
    now = time.time()
    return visits.Visit(secret or os.urandom(16), int(now - start_s), int(now - last_s))


def client_with(app: flask.Flask, visit: visits.Visit) -> Any:
    """A browser that holds the cookie of a visit."""
    client = app.test_client()
    client.set_cookie(COOKIE, visit.cookie_value())
    return client


def everything(telemetry: testing.Captured) -> str:
    """All spans, log records and metrics as text, to search in."""
    data = telemetry._reader.get_metrics_data()
    return "\n".join(
        [
            *(s.to_json() for s in telemetry.spans()),
            *(r.to_json() for r in telemetry.logs()),
            data.to_json() if data is not None else "",
        ]
    )


def events(telemetry: testing.Captured, name: str) -> list[dict[str, Any]]:
    """The attributes of the events of one name, and `at_s`, their time in seconds since the epoch."""
    return [
        {**(r.log_record.attributes or {}), "at_s": (r.log_record.timestamp or 0) / 1e9}
        for r in telemetry.logs()
        if r.log_record.event_name == name
    ]


def refused(telemetry: testing.Captured, source: str) -> int:
    """How many values of one source `otel_session.refused` has counted in this process."""
    points = telemetry.points("otel_session.refused")
    return sum(p.value for p in points if p.attributes["otel_session.refused.source"] == source)


def active(telemetry: testing.Captured) -> int:
    """How many requests are active, by `http.server.active_requests`."""
    return sum(p.value for p in telemetry.points("http.server.active_requests"))


def set_cookies(response: Any) -> list[str]:
    """The response's Set-Cookie headers that are ours."""
    return [value for value in response.headers.getlist("Set-Cookie") if value.startswith(COOKIE + "=")]
