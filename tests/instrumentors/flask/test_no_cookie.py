"""Responses that get no cookie, because others may be given the same response, or because nobody is to be followed."""

import pathlib
import time
from email.utils import formatdate
from typing import Any

import flask
import pytest

from otel_session import testing
from tests.instrumentors.flask.served import instrumented, make_app, set_cookies


@pytest.fixture
def app(tmp_path: pathlib.Path) -> flask.Flask:
    """An application with static files, a blueprint's static files, and headers as asked for."""
    for folder in ("static", "shop/static"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.css").write_text("a {}")
    made = flask.Flask("files", root_path=str(tmp_path))
    made.register_blueprint(
        flask.Blueprint("shop", "shop", root_path=str(tmp_path / "shop"), static_folder="static", url_prefix="/shop")
    )

    @made.get("/with")
    def with_headers() -> Any:
        return "page", 200, [(k, v) for k, v in flask.request.args.items(multi=True)]

    @made.get("/same")
    def same() -> Any:
        response = flask.make_response("page")
        response.set_etag("v1")
        return response.make_conditional(flask.request)

    return made


@pytest.mark.parametrize("path", ["/static/a.css", "/shop/static/a.css", "/static/none.css"])
def test_static_files(telemetry: testing.Captured, app: flask.Flask, path: str) -> None:
    """Static files of the application and of a blueprint, missing ones too, set no cookie but tell the correlation."""
    response = app.test_client().get(path, buffered=True)

    assert set_cookies(response) == []
    assert response.headers["X-Correlation-ID"] == telemetry.spans()[0].attributes["correlation.id"]


def test_session_begins_after_static(telemetry: testing.Captured, app: flask.Flask) -> None:
    """A page asked for after a static file sets the cookie that the file did not."""
    client = app.test_client()

    assert set_cookies(client.get("/static/a.css", buffered=True)) == []
    assert len(set_cookies(client.get("/with"))) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache-Control": "public"},
        {"Cache-Control": "public, no-cache"},
        {"Cache-Control": "max-age=60"},
        {"Cache-Control": 'Max-Age="60"'},
        {"Cache-Control": "s-maxage=60, max-age=0"},
        {"Cache-Control": "immutable"},
        {"Expires": formatdate(time.time() + 3_600, usegmt=True)},
        {"Cache-Control": "must-revalidate", "Expires": formatdate(time.time() + 3_600, usegmt=True)},
        {"Last-Modified": formatdate(time.time() - 3_600, usegmt=True)},
    ],
)
def test_publicly_cacheable(telemetry: testing.Captured, app: flask.Flask, headers: dict[str, str]) -> None:
    """A response that a shared cache may keep sets no cookie (RFC 9111)."""
    assert set_cookies(app.test_client().get("/with", query_string=headers)) == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Cache-Control": "no-store"},
        {"Cache-Control": "private, max-age=60"},
        {"Cache-Control": "no-cache"},
        {"Cache-Control": "max-age=0, must-revalidate"},
        {"Expires": "0"},
        {"Expires": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"Cache-Control": "max-age=0", "Expires": formatdate(time.time() + 3_600, usegmt=True)},
        {"Cache-Control": "no-cache", "Last-Modified": formatdate(time.time() - 3_600, usegmt=True)},
    ],
)
def test_private_or_stale(telemetry: testing.Captured, app: flask.Flask, headers: dict[str, str]) -> None:
    """A response that is for one person, or stale at once, sets it."""
    assert len(set_cookies(app.test_client().get("/with", query_string=headers))) == 1


def test_not_modified(telemetry: testing.Captured, app: flask.Flask) -> None:
    """A 304 sets no cookie: it renews a cached response's headers."""
    response = app.test_client().get("/same", headers={"If-None-Match": '"v1"'})

    assert response.status_code == 304
    assert set_cookies(response) == []
    assert "X-Correlation-ID" in response.headers


@pytest.mark.parametrize("name", ["OTEL_PYTHON_FLASK_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS"])
def test_excluded_urls(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An excluded URL makes no span, no metric and no cookie, but tells the correlation id; others do all."""
    monkeypatch.setenv(name, "healthz,/deals/[0-9]+$")
    app = make_app()
    app.add_url_rule("/healthz", view_func=lambda: "ok")
    with instrumented() as telemetry:
        for path in ("/healthz", "/deals/3", "/"):
            response = app.test_client().get(path, buffered=True)
            assert response.headers["X-Correlation-ID"].startswith("req_")
            assert len(set_cookies(response)) == (path == "/")
        assert [s.name for s in telemetry.spans()] == ["GET /"]
        assert sum(p.count for p in telemetry.points("http.server.request.duration")) == 1
