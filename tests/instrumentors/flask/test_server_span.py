"""When the server span begins and ends, and what is inside it."""

import contextlib
import gc
import pathlib
import socket
import struct
import threading
import time
import urllib.request
import weakref
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from sqlalchemy import create_engine, text
from werkzeug.wsgi import FileWrapper

import otel_session
from otel_session import testing
from tests.instrumentors.flask.served import active, instrumented, make_app, raw, server, wait_for


def _server_spans(telemetry: testing.Captured) -> list[Any]:
    return [s for s in telemetry.spans() if s.kind.name == "SERVER"]


def test_finished_when_the_client_has_the_response(telemetry: testing.Captured) -> None:
    """`client.get()` returns after the span has ended, its response neither read nor closed."""
    client = make_app().test_client()

    kept = [client.get("/"), client.head("/"), client.get("/none"), client.post("/deals")]

    assert len(kept) == len(telemetry.spans()) == 4
    assert active(telemetry) == 0


class _Slow(SecureCookieSessionInterface):
    def open_session(self, app: Any, request: Any) -> Any:
        with trace.get_tracer("store").start_as_current_span("read the store"):
            time.sleep(0.02)
        return SecureCookieSession()


def test_begins_before_the_session_is_opened(telemetry: testing.Captured) -> None:
    """Time spent opening the application's session is in the server span."""
    app = make_app()
    app.session_interface = _Slow()

    app.test_client().get("/")

    (span,) = _server_spans(telemetry)
    assert span.end_time - span.start_time >= 20e6


@pytest.fixture
def streaming(tmp_path: pathlib.Path) -> flask.Flask:
    """Streams: with queries, failing, endless, and of a file."""
    app = make_app()
    engine = create_engine("sqlite://")

    @app.get("/queries")
    def queries() -> Any:
        def rows() -> Iterator[str]:
            with engine.connect() as connection:
                for number in range(2):
                    time.sleep(0.01)
                    yield str(connection.execute(text(f"SELECT {number}")).scalar())

        return flask.Response(flask.stream_with_context(rows()))

    @app.get("/breaks")
    def breaks() -> Any:
        def rows() -> Iterator[str]:
            yield "first"
            raise LookupError("no second")

        return flask.Response(rows())

    @app.get("/endless")
    def endless() -> Any:
        return flask.Response(b"x" * 65_536 for _ in iter(int, 1))

    (tmp_path / "report.txt").write_bytes(b"r" * 100_000)
    app.add_url_rule("/file", "file", lambda: flask.send_file(tmp_path / "report.txt"))
    return app


def test_stream_with_queries(telemetry: testing.Captured, streaming: flask.Flask) -> None:
    """Queries of a streamed body are inside the server span, which ends when the last part is sent."""
    response = streaming.test_client().get("/queries")
    assert _server_spans(telemetry) == []
    assert active(telemetry) == 1

    assert response.text == "01"

    (tree,) = testing.tree(telemetry.spans())
    assert (tree["name"], tree["kind"]) == ("GET /queries", "SERVER")
    assert [child["name"] for child in tree["children"]] == ["connect", "SELECT", "SELECT"]
    (span,) = _server_spans(telemetry)
    assert span.end_time - span.start_time >= 20e6
    (point,) = telemetry.points("http.server.request.duration")
    assert point.sum >= 0.02
    assert active(telemetry) == 0


def test_stream_on_a_real_server(telemetry: testing.Captured, streaming: flask.Flask) -> None:
    """The same on a real server."""
    with server(streaming) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/queries", timeout=10) as answer:
            received = answer.read()
        (span,) = wait_for(lambda: _server_spans(telemetry))

    assert received == b"01"
    assert {s.context.trace_id for s in telemetry.spans()} == {span.context.trace_id}
    assert len({s.attributes["session.id"] for s in telemetry.spans()}) == 1


def test_exception_in_a_stream(telemetry: testing.Captured, streaming: flask.Flask) -> None:
    """A stream that fails keeps the status that was sent, and is an error of that exception."""
    response = streaming.test_client().get("/breaks")
    with pytest.raises(LookupError):
        response.get_data()

    (span,) = telemetry.spans()
    assert span.status.status_code.name == "ERROR"
    assert span.attributes["error.type"] == "LookupError"
    assert span.attributes["http.response.status_code"] == 200
    (point,) = telemetry.points("http.server.request.duration")
    assert (point.attributes["error.type"], point.attributes["http.response.status_code"]) == ("LookupError", 200)
    assert active(telemetry) == 0


def test_client_disconnects(telemetry: testing.Captured, streaming: flask.Flask) -> None:
    """A client that goes away ends the span, which is no error of the application's, and nothing stays active."""
    with server(streaming) as port:
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(b"GET /endless HTTP/1.0\r\n\r\n")
        connection.recv(1_000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset at close
        connection.close()
        (span,) = wait_for(lambda: _server_spans(telemetry))

    assert (span.name, span.status.status_code.name) == ("GET /endless", "UNSET")
    assert "error.type" not in span.attributes
    assert active(telemetry) == 0


def test_response_never_closed(telemetry: testing.Captured, streaming: flask.Flask) -> None:
    """A streamed response that its client drops unread ends its span when it is collected."""
    response = streaming.test_client().get("/endless")
    assert telemetry.spans() == []

    del response
    gc.collect()

    assert [s.name for s in telemetry.spans()] == ["GET /endless"]
    assert active(telemetry) == 0


def test_head(telemetry: testing.Captured, streaming: flask.Flask) -> None:
    """HEAD has the length but no body, and its span ends all the same."""
    with server(streaming) as port:
        answer = raw(port, b"HEAD /file HTTP/1.0\r\n\r\n")
        (span,) = wait_for(lambda: _server_spans(telemetry))

    assert b"Content-Length: 100000" in answer
    assert answer.endswith(b"\r\n\r\n")
    assert span.name == "HEAD /file"


def test_file_without_wrapper(telemetry: testing.Captured, streaming: flask.Flask) -> None:
    """A file sent by a server without a file wrapper arrives whole, and its span ends."""
    with server(streaming) as port:
        answer = raw(port, b"GET /file HTTP/1.0\r\n\r\n")
        assert wait_for(lambda: _server_spans(telemetry))

    assert answer.partition(b"\r\n\r\n")[2] == b"r" * 100_000


class _ServerWrapper(FileWrapper):
    """What a server recognises and hands to the kernel."""


class _Sealed:
    __slots__ = ("_file",)

    def __init__(self, file: Any, size: int = 8_192) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._file)

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize("wrapper", [_ServerWrapper, _Sealed])
def test_file_with_wrapper(telemetry: testing.Captured, streaming: flask.Flask, wrapper: type) -> None:
    """A server with a file wrapper gets it back as it is, so that it can hand the file to the kernel."""
    environ = flask.Flask("x").test_request_context("/file").request.environ
    environ = {**environ, "wsgi.file_wrapper": wrapper}
    environ.pop("werkzeug.request", None)

    body = streaming(environ, lambda status, headers, exc_info=None: None)

    assert isinstance(body, wrapper)
    assert b"".join(body) == b"r" * 100_000
    body.close()  # type: ignore[attr-defined]
    assert [s.name for s in telemetry.spans()] == ["GET /file"]
    assert active(telemetry) == 0


def test_wrapped_file_span_ends_at_close(telemetry: testing.Captured, streaming: flask.Flask) -> None:
    """With a file wrapper the span ends when the server closes the file, not when the view returns."""
    environ = dict(flask.Flask("x").test_request_context("/file").request.environ)
    environ["wsgi.file_wrapper"] = _ServerWrapper

    body = streaming(environ, lambda status, headers, exc_info=None: None)
    assert telemetry.spans() == []
    body.close()  # type: ignore[attr-defined]

    assert len(telemetry.spans()) == 1


def test_exception_is_let_go(telemetry: testing.Captured) -> None:
    """An exception that a handler dealt with is not kept alive by us once the response is sent."""
    app = make_app()
    held: list[weakref.ref[Any]] = []

    class FailureError(Exception):
        pass

    @app.get("/fail")
    def fail() -> str:
        error = FailureError()
        held.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    app.register_error_handler(FailureError, lambda error: ("handled", 200))
    app.test_client().get("/")
    gc.collect()
    gc.disable()  # counting references alone has to free it: what it holds may be waited for
    try:
        response = app.test_client().get("/fail")
        assert held[0]() is None
    finally:
        gc.enable()
    assert response.text == "handled"


def test_nested_in_a_local_span(telemetry: testing.Captured) -> None:
    """Inside a span of this process the request is INTERNAL, in that trace, and left out of the server's metrics."""
    tracer = telemetry.providers["tracer_provider"].get_tracer("outer")
    with tracer.start_as_current_span("mounted under") as outer:
        make_app().test_client().get("/")

    inner = telemetry.spans()[0]
    assert (inner.name, inner.kind.name) == ("GET /", "INTERNAL")
    assert inner.parent.span_id == outer.get_span_context().span_id
    assert telemetry.points("http.server.request.duration") == []


def test_parent_from_the_client(telemetry: testing.Captured) -> None:
    """A traceparent header gives the server span its parent."""
    make_app().test_client().get("/", headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})

    (span,) = telemetry.spans()
    assert (span.kind.name, span.parent.is_remote) == ("SERVER", True)
    assert f"{span.context.trace_id:032x}" == "ab" * 16


def test_middleware_around_keeps_its_context(telemetry: testing.Captured) -> None:
    """Baggage that a middleware outside of the application puts into the context is there in the view."""
    app = make_app()
    app.add_url_rule("/tenant", view_func=lambda: str(baggage.get_baggage("tenant")))

    def middleware(environ: Any, start_response: Any) -> Any:
        token = otel_context.attach(baggage.set_baggage("tenant", "a"))
        try:
            return app(environ, start_response)
        finally:
            otel_context.detach(token)

    from werkzeug.test import Client

    response = Client(middleware).get("/tenant")

    assert response.text == "a"
    assert telemetry.spans()[0].kind.name == "SERVER"


def test_identity_left_on_the_thread(telemetry: testing.Captured) -> None:
    """Somebody who was left in the thread's context, a start-up's correlation id say, is not who sends its requests."""
    token = otel_context.attach(otel_context.get_current())
    try:
        otel_session.set_correlation_id("start-up")
        response = make_app().test_client().get("/")
    finally:
        otel_context.detach(token)

    assert response.headers["X-Correlation-ID"].startswith("req_")
    assert "session.id" in telemetry.spans()[0].attributes


def test_request_inside_a_request(telemetry: testing.Captured) -> None:
    """A view that asks its own application gets a span inside its own, with its ids; the browser gets the cookie."""
    app = make_app()
    app.add_url_rule("/around", view_func=lambda: app.test_client().get("/").headers.get("Set-Cookie", "none"))

    response = app.test_client().get("/around")

    assert response.text == "none"
    assert "Set-Cookie" in response.headers
    inner, outer = telemetry.spans()
    assert (inner.kind.name, outer.kind.name) == ("INTERNAL", "SERVER")
    assert inner.parent.span_id == outer.context.span_id
    assert inner.attributes["session.id"] == outer.attributes["session.id"]


def test_no_context_stays(telemetry: testing.Captured, streaming: flask.Flask) -> None:
    """After any request, failed and streamed ones too, the thread's context is what it was."""
    before = dict(otel_context.get_current())
    client = streaming.test_client()
    for path in ("/", "/queries", "/breaks", "/none"):
        with contextlib.suppress(LookupError):
            client.get(path).get_data()

    assert dict(otel_context.get_current()) == before


def test_unsampled_requests_have_their_ids() -> None:
    """Without a recording span a request still has its session, its correlation id and its metrics."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    with instrumented(sampler=ALWAYS_OFF) as telemetry:
        client = make_app().test_client()
        response = client.get("/deals/1")

        assert telemetry.spans() == []
        (record,) = (r.log_record for r in telemetry.logs())
        assert record.attributes["correlation.id"] == response.headers["X-Correlation-ID"]
        assert "session.id" in record.attributes
        assert "Set-Cookie" in response.headers
        (point,) = telemetry.points("http.server.request.duration")
        assert point.attributes["http.route"] == "/deals/<int:deal_id>"


def test_two_users_at_once(telemetry: testing.Captured) -> None:
    """Streams of two users served by turns on one thread, and views on many, never mix their ids."""
    app = make_app()

    @app.get("/mine")
    def mine() -> Any:
        def parts() -> Iterator[str]:
            for _ in range(3):
                yield str(otel_session.current_session()) + "\n"

        return flask.Response(flask.stream_with_context(parts()))

    bodies = [app.test_client().get("/mine").iter_encoded() for _ in range(2)]
    told = [[next(body) for body in bodies] for _ in range(3)]
    assert len({first for first, _ in told}) == len({second for _, second in told}) == 1
    assert told[0][0] != told[0][1]

    seen: list[set[str]] = []

    def visit() -> None:
        client = app.test_client()
        seen.append({line for _ in range(5) for line in client.get("/mine").text.split()})

    threads = [threading.Thread(target=visit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(ids) for ids in seen] == [1] * 8
    assert len(set().union(*seen)) == 8
