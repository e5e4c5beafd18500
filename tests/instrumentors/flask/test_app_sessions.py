"""The application's own server-side session: load and save inside the request, nothing changed for the application."""

import pathlib
from typing import Any

import flask
import flask_session
import pytest
from cachelib import FileSystemCache
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionInterface

from otel_session import testing
from tests.instrumentors.flask.served import everything, instrumented, make_app


def _server_side(folder: pathlib.Path) -> flask.Flask:
    app = make_app(SECRET_KEY="a key for tests only", SESSION_TYPE="cachelib")
    app.config["SESSION_CACHELIB"] = FileSystemCache(str(folder))
    flask_session.Session(app)

    @app.get("/put")
    def put() -> str:
        flask.session["name"] = "ada"
        return "put"

    return app


def _children(telemetry: testing.Captured) -> list[list[tuple[str, dict[str, Any]]]]:
    own = "session_store."
    return [
        [(c["name"], {k: v for k, v in c["attributes"].items() if k.startswith(own)}) for c in root["children"]]
        for root in testing.tree(telemetry.spans())
    ]


def test_load_and_save(telemetry: testing.Captured, tmp_path: pathlib.Path) -> None:
    """Loading and saving a server-side session are spans inside the server span, and say new and modified."""
    client = _server_side(tmp_path).test_client()
    client.get("/put")
    client.get("/")

    def load(*, new: bool) -> tuple[str, dict[str, Any]]:
        return "session_store.load", {"session_store.interface": "CacheLibSessionInterface", "session_store.new": new}

    def save(*, modified: bool) -> tuple[str, dict[str, Any]]:
        return (
            "session_store.save",
            {"session_store.interface": "CacheLibSessionInterface", "session_store.modified": modified},
        )

    assert _children(telemetry) == [[load(new=True), save(modified=True)], [load(new=False), save(modified=False)]]


def test_ids_on_the_children(telemetry: testing.Captured, tmp_path: pathlib.Path) -> None:
    """Load and save carry the request's session id, and the raw id of the application's session is nowhere."""
    client = _server_side(tmp_path).test_client()
    client.get("/put")

    assert len({s.attributes["session.id"] for s in telemetry.spans()}) == 1
    assert len(telemetry.spans()) == 3
    assert client.get_cookie("session").value not in everything(telemetry)


def test_signed_cookie_has_no_spans(telemetry: testing.Captured) -> None:
    """Flask's own signed cookie does no I/O and makes no span."""
    app = make_app(SECRET_KEY="a key for tests only")
    app.add_url_rule("/put", view_func=lambda: str(flask.session.setdefault("name", "ada")))

    app.test_client().get("/put")

    assert [s.name for s in telemetry.spans()] == ["GET /put"]


@pytest.mark.parametrize("signed", [True, False])
def test_no_change_of_the_response(tmp_path: pathlib.Path, *, signed: bool) -> None:
    """Apart from our two headers, responses are what they are without us; no `Vary: Cookie` is added."""

    def headers(path: str) -> list[tuple[str, str]]:
        app = make_app(SECRET_KEY="a key for tests only") if signed else _server_side(tmp_path)
        app.add_url_rule("/read", view_func=lambda: str(flask.session.get("name")))
        response = app.test_client().get(path)
        return [(k, v) for k, v in response.headers if k != "X-Correlation-ID" and not v.startswith("otel_session=")]

    without = {path: headers(path) for path in ("/", "/read")}
    with instrumented(source="app", app_key="name"):
        found = {path: headers(path) for path in ("/", "/read")}

    assert found == without
    assert "Vary" not in dict(found["/"])


class _Broken(SessionInterface):
    def open_session(self, app: Any, request: Any) -> Any:
        raise ConnectionError("the store is down")

    def save_session(self, app: Any, session: Any, response: Any) -> None:
        """Nothing."""


def test_failed_load(telemetry: testing.Captured) -> None:
    """A store that cannot be read is an error on the load span, and the exception is the application's."""
    app = make_app(TESTING=True)
    app.session_interface = _Broken()

    with pytest.raises(ConnectionError, match="the store is down"):
        app.test_client().get("/")

    load, request = telemetry.spans()
    assert (load.name, load.attributes["error.type"]) == ("session_store.load", "ConnectionError")
    assert (request.kind.name, request.attributes["error.type"]) == ("SERVER", "ConnectionError")


class _Stored(SessionInterface):
    def open_session(self, app: Any, request: Any) -> Any:
        return SecureCookieSession()

    def save_session(self, app: Any, session: Any, response: Any) -> None:
        """Nothing."""


class _Inherits(_Stored):
    pass


@pytest.mark.parametrize("order", [(_Stored, _Inherits), (_Inherits, _Stored)])
def test_inherited_interfaces(telemetry: testing.Captured, order: tuple[type, type]) -> None:
    """Two applications whose interfaces inherit from each other have one load and one save each."""
    for kind in order * 2:
        app = make_app()
        app.session_interface = kind()
        app.test_client().get("/")

    assert [[name for name, _ in children] for children in _children(telemetry)] == [
        ["session_store.load", "session_store.save"]
    ] * 4
    assert len(telemetry.spans()) == 3 * 4


def test_interfaces_are_put_back(tmp_path: pathlib.Path) -> None:
    """After `uninstrument()` the interface classes are as they were."""
    kinds = (_Stored, _Inherits, SessionInterface, SecureCookieSessionInterface)
    before = [dict(vars(kind)) for kind in kinds]
    with instrumented():
        for kind in (_Inherits, _Stored):
            app = make_app()
            app.session_interface = kind()
            app.test_client().get("/")

    assert [dict(vars(kind)) for kind in kinds] == before


def test_inner_application(telemetry: testing.Captured, tmp_path: pathlib.Path) -> None:
    """The session of an application mounted inside another one is seen in the same request."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    outer, inner = make_app("outer"), _server_side(tmp_path)
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/inner": inner})  # type: ignore[method-assign]

    outer.test_client().get("/inner/put")

    assert [[name for name, _ in children] for children in _children(telemetry)] == [
        ["session_store.load", "session_store.save"]
    ]
