"""The correlation id: on every response, taken over when it may be, refused and counted when it may not."""

import re
from collections.abc import Iterator
from typing import Any

import flask
import pytest

import otel_session
from otel_session import testing
from tests.instrumentors.flask.served import (
    COOKIE,
    active,
    instrumented,
    make_app,
    raw,
    refused,
    server,
    wait_for,
)

MADE = re.compile("req_[0-9a-f]{12}")


@pytest.fixture
def app(tmp_path: Any) -> flask.Flask:
    """Pages that answer in every way."""
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.css").write_text("a {}")
    made = flask.Flask("answers", root_path=str(tmp_path))
    made.add_url_rule("/", "home", view_func=lambda: "home")
    made.add_url_rule("/fail", "fail", view_func=lambda: 1 / 0)
    made.add_url_rule("/abort", "abort", view_func=lambda: flask.abort(500))
    made.add_url_rule("/empty", "empty", view_func=lambda: ("", 204))
    made.add_url_rule("/moved", "moved", view_func=lambda: flask.redirect("/"))
    made.add_url_rule("/file", "file", view_func=lambda: flask.send_file(tmp_path / "static" / "a.css"))

    @made.get("/stream")
    def stream() -> Any:
        def parts() -> Iterator[str]:
            yield "a"
            yield str(otel_session.get_correlation_id())

        return flask.Response(parts())

    return made


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("OPTIONS", "/", 200),
        ("GET", "/none", 404),
        ("POST", "/", 405),
        ("GET", "/fail", 500),
        ("GET", "/abort", 500),
        ("GET", "/empty", 204),
        ("GET", "/moved", 302),
        ("GET", "/stream", 200),
        ("GET", "/file", 200),
        ("GET", "/static/a.css", 200),
    ],
)
def test_on_every_response(telemetry: testing.Captured, app: flask.Flask, method: str, path: str, status: int) -> None:
    """Each response has one correlation id, the one on its span; two requests never share one."""
    got = [app.test_client().open(path, method=method, buffered=True) for _ in range(2)]

    assert [response.status_code for response in got] == [status, status]
    returned = [response.headers.getlist("X-Correlation-ID") for response in got]
    assert [[s.attributes["correlation.id"]] for s in telemetry.spans()] == returned
    assert all(MADE.fullmatch(one) for (one,) in returned)
    assert returned[0] != returned[1]


@pytest.mark.parametrize("name", ["X-Correlation-ID", "X-Request-ID"])
@pytest.mark.parametrize(
    "value", ["abc", "0af7651916cd43dd8448eb211c80319c", "a" * 128, "order:7/line=2@shop~x_1.0-b+c"]
)
def test_taken_over(telemetry: testing.Captured, name: str, value: str) -> None:
    """A valid id from either header is the request's, in its response, on its span and in its log lines."""
    response = make_app().test_client().get("/deals/1", headers={name: value})

    assert response.headers["X-Correlation-ID"] == value
    assert telemetry.spans()[0].attributes["correlation.id"] == value
    assert telemetry.logs()[0].log_record.attributes["correlation.id"] == value


def test_first_header_wins(telemetry: testing.Captured) -> None:
    """X-Correlation-ID goes before X-Request-ID, and a bad one gives way to a good one."""
    client = make_app().test_client()

    both = client.get("/", headers={"X-Correlation-ID": "one", "X-Request-ID": "two"})
    second = client.get("/", headers={"X-Correlation-ID": "no good", "X-Request-ID": "two"})

    assert (both.headers["X-Correlation-ID"], second.headers["X-Correlation-ID"]) == ("one", "two")


HOSTILE = {
    "10 MB": "a" * 10_000_000,
    "129 characters": "a" * 129,
    "binary": "\x00\x01\x7f\xff",
    "CR/LF": "a\r\nSet-Cookie: stolen=1",
    "LF": "a\nb",
    "wrong UTF-8": b"\xc3\x28\xff".decode("latin-1"),
    "UTF-8": "ü€".encode().decode("latin-1"),
    "quote": 'a"b',
    "apostrophe": "a'b",
    "comma": "a,b",
    "semicolon": "a;b",
    "percent": "%0d%0a",
    "markup": "<script>",
    "space": "a b",
    "mark first": "-rm",
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_hostile_header(telemetry: testing.Captured, value: str) -> None:
    """A hostile id is ignored and counted once; the response is the ordinary one, with an id made here."""
    before = refused(telemetry, "correlation")

    response = make_app().test_client().get("/", environ_overrides={"HTTP_X_CORRELATION_ID": value})

    assert (response.status_code, response.text) == (200, "home")
    assert MADE.fullmatch(response.headers["X-Correlation-ID"])
    assert refused(telemetry, "correlation") == before + 1


@pytest.mark.parametrize("value", [*HOSTILE.values(), "1.AAAA.0.0", "1." + "A" * 22 + ".ffffffff.ffffffff"])
def test_hostile_cookie(telemetry: testing.Captured, value: str) -> None:
    """A hostile cookie is ignored and counted; the response is the ordinary one and sets a good cookie."""
    before = refused(telemetry, "cookie")

    response = (
        make_app()
        .test_client(use_cookies=False)
        .get("/", environ_overrides={"HTTP_COOKIE": f"a=b; {COOKIE}={value}; c=d"})
    )

    assert (response.status_code, response.text) == (200, "home")
    assert response.headers["Set-Cookie"].startswith(f"{COOKIE}=1.")
    assert refused(telemetry, "cookie") == before + 1
    assert re.fullmatch("[0-9a-f]{32}", telemetry.spans()[0].attributes["session.id"])


def test_other_cookies_are_not_counted(telemetry: testing.Captured) -> None:
    """Cookies that are not ours, their names ending like ours included, are no refusal."""
    before = refused(telemetry, "cookie")

    make_app().test_client(use_cookies=False).get("/", headers={"Cookie": f"x{COOKIE}=bad; {COOKIE}2=bad; session=x"})

    assert refused(telemetry, "cookie") == before


@pytest.mark.parametrize(
    ("name", "value", "source"),
    [
        (b"X-Correlation-ID", b"\xff\xfe\x80", "correlation"),
        (b"X-Correlation-ID", b"a\x01b", "correlation"),
        (b"X-Request-ID", b'"quoted"', "correlation"),
        (b"X-Request-ID", b"\xc3\x28", "correlation"),
        (b"X-Request-ID", b"a" * 60_000, "correlation"),
        (b"X-Request-ID", b"folded\r\n Set-Cookie: stolen=1", "correlation"),
        (b"Cookie", b"otel_session=\xff\x00\x80", "cookie"),
        (b"Cookie", b"otel_session=1.%0d%0aSet-Cookie:stolen=1", "cookie"),
        (b"Cookie", b"otel_session=" + b"A" * 60_000, "cookie"),
        (b"baggage", b"session.id=\xff\xfe", "baggage"),
        (b"baggage", b"session.id=a%0d%0ab", "baggage"),
        (b"baggage", b"session.id=" + b"a" * 60_000, "baggage"),
        (b"baggage", b"session.id=" + b"a" * 4_000, "baggage"),
    ],
)
def test_hostile_bytes_on_the_wire(telemetry: testing.Captured, name: bytes, value: bytes, source: str) -> None:
    """Sent as bytes to a real server, a hostile value gives the ordinary response and a counted refusal."""
    before = refused(telemetry, source)

    with server(make_app()) as port:
        answer = raw(port, b"GET / HTTP/1.0\r\nHost: shop\r\n" + name + b": " + value + b"\r\n\r\n")
        assert wait_for(telemetry.spans)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[0].split(b" ", 1)[1], body) == (b"200 OK", b"home")
    assert re.search(rb"\r\nX-Correlation-ID: req_[0-9a-f]{12}(\r\n|$)", head)
    assert b"stolen" not in head
    assert refused(telemetry, source) == before + 1
    assert active(telemetry) == 0


def test_hostile_requests_keep_their_span(telemetry: testing.Captured) -> None:
    """Host, path, query and method of any form make a span with bounded values, and metrics with known ones only."""
    hostile = {"HTTP_HOST": "a:\xb2", "PATH_INFO": "/\xff" * 9_000, "QUERY_STRING": "q=" + "a" * 9_000}

    response = make_app().test_client().open("/", method="A" * 5_000, environ_overrides=hostile)

    assert response.status_code == 404
    (span,) = telemetry.spans()
    assert span.name == "HTTP"
    assert max(len(str(v)) for v in span.attributes.values()) <= 2_048
    (point,) = telemetry.points("http.server.request.duration")
    assert point.attributes["http.request.method"] == "_OTHER"


def test_set_in_a_view(telemetry: testing.Captured) -> None:
    """An id that the application sets goes into the response and onto the request's span."""
    app = make_app()
    app.add_url_rule("/set", view_func=lambda: otel_session.set_correlation_id("order-7") or "set")

    response = app.test_client().get("/set")

    assert response.headers["X-Correlation-ID"] == "order-7"
    assert telemetry.spans()[0].attributes["correlation.id"] == "order-7"
    assert otel_session.get_correlation_id() is None


def test_application_header_stays(telemetry: testing.Captured) -> None:
    """An X-Correlation-ID that the application writes itself is left as it is, and there is no second."""
    app = make_app()
    app.add_url_rule("/own", view_func=lambda: ("own", 200, {"x-correlation-id": "mine"}))

    assert app.test_client().get("/own").headers.getlist("X-Correlation-ID") == ["mine"]


def test_streamed_body_sees_it(telemetry: testing.Captured, app: flask.Flask) -> None:
    """A generator that runs after the view has returned sees the request's correlation id."""
    response = app.test_client().get("/stream")

    assert response.text == "a" + response.headers["X-Correlation-ID"]


def test_without_session_source() -> None:
    """With source `none` responses still tell the correlation id; there is no session and no cookie."""
    with instrumented(source="none") as telemetry:
        response = make_app().test_client().get("/", headers={"X-Request-ID": "abc"})

    assert response.headers["X-Correlation-ID"] == "abc"
    assert "Set-Cookie" not in response.headers
    assert "session.id" not in telemetry.spans()[0].attributes
