"""Attributes and metrics: the stable HTTP semantic conventions, to the letter."""

from typing import Any

import flask
import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from otel_session import testing
from tests.instrumentors.flask.served import active, everything, instrumented, make_app, raw, server, wait_for


def _http(span: Any) -> dict[str, Any]:
    return {k: v for k, v in span.attributes.items() if not k.startswith(("session.", "correlation.", "otel_session."))}


def test_all_attributes(telemetry: testing.Captured) -> None:
    """A request's attributes are those of the conventions, with their types."""
    make_app().test_client().get(
        "/deals/7?page=2", base_url="http://shop.test:8080", headers={"User-Agent": "Browser/1"}
    )

    (span,) = telemetry.spans()
    assert span.name == "GET /deals/<int:deal_id>"
    assert _http(span) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/deals/<int:deal_id>",
        "code.function.name": "tests.instrumentors.flask.served.make_app.<locals>.deal",
        "url.scheme": "http",
        "url.path": "/deals/7",
        "url.query": "page=2",
        "server.address": "shop.test",
        "server.port": 8080,
        "client.address": "127.0.0.1",
        "user_agent.original": "Browser/1",
        "network.protocol.version": "1.1",
    }
    assert type(span.attributes["http.response.status_code"]) is type(span.attributes["server.port"]) is int


@pytest.mark.parametrize(
    ("host", "scheme", "address", "port"),
    [
        ("shop.test", "https", "shop.test", 443),
        ("shop.test", "http", "shop.test", 80),
        ("[::1]:5000", "http", "::1", 5000),
        ("[::1]", "http", "::1", 80),
        ("10.0.0.1:81", "http", "10.0.0.1", 81),
    ],
)
def test_server_address(telemetry: testing.Captured, host: str, scheme: str, address: str, port: int) -> None:
    """Address and port come from the Host header, the port from the scheme where it has none."""
    make_app().test_client().get("/", environ_overrides={"HTTP_HOST": host, "wsgi.url_scheme": scheme})

    (span,) = telemetry.spans()
    assert (span.attributes["server.address"], span.attributes["server.port"]) == (address, port)


@pytest.mark.parametrize(
    ("protocol", "version"), [("HTTP/1.0", "1.0"), ("HTTP/2", "2"), ("HTTP/2.0", "2"), ("HTTP/9", None), ("SPDY", None)]
)
def test_protocol_version(telemetry: testing.Captured, protocol: str, version: str | None) -> None:
    """The version is written as the conventions do; one that does not exist is left out of span and metric."""
    make_app().test_client().get("/", environ_overrides={"SERVER_PROTOCOL": protocol})

    (point,) = telemetry.points("http.server.request.duration")
    assert telemetry.spans()[0].attributes.get("network.protocol.version") == version
    assert point.attributes.get("network.protocol.version") == version


def test_other_methods(telemetry: testing.Captured) -> None:
    """A method that HTTP does not know is `_OTHER`, the name begins with HTTP, the method itself stays readable."""
    app = make_app()
    app.add_url_rule("/cache", view_func=lambda: "purged", methods=["PURGE"])

    app.test_client().open("/cache", method="PURGE")

    (span,) = telemetry.spans()
    assert span.name == "HTTP /cache"
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "PURGE"
    (point,) = telemetry.points("http.server.request.duration")
    assert point.attributes["http.request.method"] == "_OTHER"


@pytest.mark.parametrize(("method", "path", "name"), [("GET", "/a/b/c", "GET"), ("POST", "/", "POST")])
def test_no_route(telemetry: testing.Captured, method: str, path: str, name: str) -> None:
    """Without a matching rule the name is the method alone, so that paths cannot flood anything."""
    make_app().test_client().open(path, method=method)

    (span,) = telemetry.spans()
    assert span.name == name
    assert "http.route" not in span.attributes


def test_path_in_utf8(telemetry: testing.Captured) -> None:
    """The path on the span is what the client wrote, its application's root included."""
    make_app().test_client().get("/größe/€", base_url="http://localhost/straße")

    assert telemetry.spans()[0].attributes["url.path"] == "/straße/größe/€"


def test_path_with_wrong_utf8(telemetry: testing.Captured) -> None:
    """Bytes that are no UTF-8 become replacement characters; the response is Flask's own."""
    with server(make_app()) as port:
        answer = raw(port, b"GET /%c3%28%ff HTTP/1.0\r\n\r\n")
        (span,) = wait_for(telemetry.spans)

    assert b" 404 " in answer.split(b"\r\n")[0]
    assert span.attributes["url.path"] == "/�(�"


def test_masked_query(telemetry: testing.Captured) -> None:
    """Values of sensitive query parameters are masked, others kept."""
    make_app().test_client().get("/?page=2&access_token=s3cr3t&password=hunter2&sig=abcdef")

    query = telemetry.spans()[0].attributes["url.query"]
    assert query == "page=2&access_token=[redacted]&password=[redacted]&sig=[redacted]"


def test_captured_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers named by the official variables are captured; cookies, authorization and chosen ones masked."""
    prefix = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_"
    monkeypatch.setenv(prefix + "SERVER_REQUEST", "Cookie,authorization,X-Team,X-Pin,Content-Type,Referer")
    monkeypatch.setenv(prefix + "SERVER_RESPONSE", "set-cookie,x-shop.*,Content-Type")
    monkeypatch.setenv(prefix + "SANITIZE_FIELDS", "x-pin")
    with instrumented() as telemetry:
        app = make_app()
        app.add_url_rule("/", "out", lambda: ("", 200, {"X-Shop-A": "1", "X-Other": "2"}), methods=["PUT"])
        app.test_client(use_cookies=False).put(
            "/",
            headers={
                "Cookie": "a=sugar",
                "Authorization": "Bearer salt",
                "X-Team": "blue",
                "X-Pin": "pin98z76",
                "X-Not": "no",
                "Referer": "http://shop/?token=pepper",
            },
            content_type="text/plain",
        )
        recorded = everything(telemetry)

    (span,) = telemetry.spans()
    captured = {k: v for k, v in span.attributes.items() if ".header." in k}
    assert captured == {
        "http.request.header.cookie": ("[redacted]",),
        "http.request.header.authorization": ("[redacted]",),
        "http.request.header.x-team": ("blue",),
        "http.request.header.x-pin": ("[redacted]",),
        "http.request.header.content-type": ("text/plain",),
        "http.request.header.referer": ("http://shop/?token=[redacted]",),
        "http.response.header.set-cookie": ("[redacted]",),
        "http.response.header.x-shop-a": ("1",),
        "http.response.header.content-type": ("text/html; charset=utf-8",),
    }
    assert not any(word in recorded for word in ("sugar", "salt", "pepper", "pin98z76"))


def test_no_headers_by_default(telemetry: testing.Captured) -> None:
    """No header is captured unless it is named."""
    make_app().test_client().get("/", headers={"X-Team": "blue"})

    assert not [k for k in telemetry.spans()[0].attributes if ".header." in k]


def test_duration(telemetry: testing.Captured) -> None:
    """`http.server.request.duration` is a histogram in seconds with the conventions' buckets and attributes."""
    client = make_app().test_client()
    client.get("/deals/1")
    client.get("/deals/2")

    data = telemetry._reader.get_metrics_data()
    metrics = {m.name: m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}
    metric = metrics["http.server.request.duration"]
    (point,) = metric.data.data_points
    assert (metric.unit, point.count) == ("s", 2)
    assert point.explicit_bounds == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert dict(point.attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/deals/<int:deal_id>",
        "network.protocol.version": "1.1",
        "url.scheme": "http",
    }
    assert metrics["http.server.active_requests"].unit == "{request}"


def test_active_requests(telemetry: testing.Captured) -> None:
    """`http.server.active_requests` is one while a request is served, by method and scheme, and 0 afterwards."""
    app = make_app()
    during: list[Any] = []
    app.add_url_rule("/now", view_func=lambda: during.extend(telemetry.points("http.server.active_requests")) or "now")
    app.add_url_rule("/fail", "fail", lambda: 1 / 0)
    client = app.test_client()

    client.get("/now")
    for path in ("/fail", "/none", "/"):
        client.get(path)

    assert [(p.value, dict(p.attributes)) for p in during] == [
        (1, {"http.request.method": "GET", "url.scheme": "http"})
    ]
    assert active(telemetry) == 0


def test_proxy_fix(telemetry: testing.Captured) -> None:
    """An application that trusts its proxy has the client's address, scheme and host on its span."""
    app = make_app()
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)  # type: ignore[method-assign]

    app.test_client().get(
        "/deals/7",
        headers={
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "shop.example",
            "X-Forwarded-Prefix": "/team",
        },
    )

    (span,) = telemetry.spans()
    assert span.name == "GET /team/deals/<int:deal_id>"
    assert span.attributes["client.address"] == "203.0.113.9"
    assert span.attributes["url.scheme"] == "https"
    assert (span.attributes["server.address"], span.attributes["server.port"]) == ("shop.example", 443)


def test_route_under_a_mount(telemetry: testing.Captured) -> None:
    """The route of an application mounted under a path begins with that path."""
    front, back = make_app("front"), make_app("back")

    Client(DispatcherMiddleware(front, {"/back": back})).get("/back/deals/3")

    (span,) = telemetry.spans()
    assert span.name == "GET /back/deals/<int:deal_id>"
    assert span.attributes["url.path"] == "/back/deals/3"


def test_blueprint_and_methods(telemetry: testing.Captured) -> None:
    """A blueprint's prefix is in the route; OPTIONS answered by Flask has its route too."""
    app = flask.Flask("x")
    shop = flask.Blueprint("shop", "shop", url_prefix="/shop")
    shop.add_url_rule("/<name>", view_func=lambda name: name)
    app.register_blueprint(shop)

    app.test_client().get("/shop/tea")
    app.test_client().options("/shop/tea")

    assert [s.name for s in telemetry.spans()] == ["GET /shop/<name>", "OPTIONS /shop/<name>"]
