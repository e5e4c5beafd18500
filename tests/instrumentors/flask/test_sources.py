"""Where a session id comes from when it is not our cookie: a header, the application's session, baggage, a callable."""

import pathlib
import secrets
from typing import Any

import flask
import flask_session
import pytest
from cachelib import FileSystemCache
from opentelemetry import propagate

from otel_session import testing
from tests.instrumentors.flask.served import events, everything, instrumented, make_app, refused


def asked(environ: dict[str, Any]) -> Any:
    """The callable that a test names: an id, a bad one, or a failure."""
    said = environ.get("HTTP_X_TEST")
    if said == "fail":
        raise RuntimeError("no answer")
    return said


CALLABLE = f"callable:{__name__}:asked"


def _ids(telemetry: testing.Captured) -> list[Any]:
    return [s.attributes.get("session.id") for s in telemetry.spans() if s.kind.name == "SERVER"]


def _relay() -> flask.Flask:
    app = make_app()

    @app.get("/sent")
    def sent() -> dict[str, str]:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return carrier

    return app


def test_header() -> None:
    """With source `header:NAME` that header's value is the session id, and no cookie is set."""
    with instrumented(source="header:X-Visit") as telemetry:
        client = make_app().test_client()
        first = client.get("/", headers={"X-Visit": "visit-1"})
        client.get("/", headers={"X-Visit": "visit-1"})
        client.get("/")

        assert _ids(telemetry) == ["visit-1", "visit-1", None]
        assert [s.attributes.get("otel_session.session.confirmed") for s in telemetry.spans()] == [None, True, None]
        assert [e["session.id"] for e in events(telemetry, "session.start")] == ["visit-1"]
        assert "Set-Cookie" not in first.headers


@pytest.mark.parametrize("value", ["a b", 'a"', "a" * 129, "a\r\nb", "ü"])
def test_bad_header(value: str) -> None:
    """A header value that may not be used is no session, and counted."""
    with instrumented(source="header:X-Visit") as telemetry:
        before = refused(telemetry, "header")
        response = make_app().test_client().get("/", environ_overrides={"HTTP_X_VISIT": value})

        assert (response.status_code, _ids(telemetry)) == (200, [None])
        assert refused(telemetry, "header") == before + 1


def test_callable() -> None:
    """With source `callable:…` the function gets the environ; a bad id is counted, a failure stays without effect."""
    with instrumented(source=CALLABLE) as telemetry:
        before = refused(telemetry, "callable")
        client = make_app().test_client()
        for said in ("mine-1", "no good", "fail"):
            assert client.get("/", headers={"X-Test": said}).status_code == 200

        assert _ids(telemetry) == ["mine-1", None, None]
        assert refused(telemetry, "callable") == before + 1


@pytest.mark.parametrize(("networks", "believed"), [("127.0.0.0/8", True), ("10.0.0.0/8, ::1/128", False), ("*", True)])
def test_baggage_from_named_networks(networks: str, *, believed: bool) -> None:
    """Baggage names the session only when it comes from a network that was named."""
    with instrumented(trusted_baggage=networks) as telemetry:
        response = (
            make_app().test_client().get("/", headers={"baggage": "session.id=theirs,correlation.id=order-7,tenant=a"})
        )

        assert (_ids(telemetry) == ["theirs"]) is believed
        assert (response.headers["X-Correlation-ID"] == "order-7") is believed
        assert ("Set-Cookie" in response.headers) is not believed


def test_foreign_ids_do_not_travel_on(telemetry: testing.Captured) -> None:
    """Ids in baggage that is not trusted are replaced by ours in what the request sends on; other entries stay."""
    response = (
        _relay().test_client().get("/sent", headers={"baggage": "session.id=theirs,correlation.id=theirs-too,tenant=a"})
    )

    sent = dict(entry.split("=") for entry in response.json["baggage"].split(","))
    assert sent == {
        "session.id": _ids(telemetry)[0],
        "correlation.id": response.headers["X-Correlation-ID"],
        "tenant": "a",
    }


def test_baggage_off() -> None:
    """With baggage off neither our ids nor foreign ones are sent on."""
    with instrumented(baggage=False):
        response = _relay().test_client().get("/sent", headers={"baggage": "session.id=theirs,tenant=a"})

    assert response.json["baggage"] == "tenant=a"


def test_source_baggage_sets_no_cookie() -> None:
    """With source `baggage` a request without baggage has no session and gets no cookie."""
    with instrumented(source="baggage", trusted_baggage="127.0.0.1") as telemetry:
        client = make_app().test_client()
        client.get("/", headers={"baggage": "session.id=theirs"})
        response = client.get("/")

    assert _ids(telemetry) == ["theirs", None]
    assert "Set-Cookie" not in response.headers


def _server_side(folder: pathlib.Path, **settings: Any) -> flask.Flask:
    app = make_app(SECRET_KEY="a key for tests only", SESSION_TYPE="cachelib", **settings)
    app.config["SESSION_CACHELIB"] = FileSystemCache(str(folder))
    flask_session.Session(app)

    @app.get("/login/<name>")
    def login(name: str) -> str:
        flask.session["name"] = name
        app.logger.warning("login")
        return "in"

    @app.get("/me")
    def me() -> str:
        return str(flask.session.get("name"))

    return app


def test_application_session(tmp_path: pathlib.Path) -> None:
    """With source `app` a server-side session's id is the session, as a keyed hash; its raw id is nowhere."""
    with instrumented(source="app") as telemetry:
        client = _server_side(tmp_path).test_client()
        first = client.get("/login/ada")
        client.get("/me")
        client.get("/me")
        sid = client.get_cookie("session").value
        recorded = everything(telemetry)

        ids = _ids(telemetry)
        assert len(set(ids)) == 1
        assert len(ids[0]) == 32
        assert sid not in recorded
        assert "otel_session=" not in first.headers["Set-Cookie"]
        assert [e["session.id"] for e in events(telemetry, "session.start")] == [ids[0]]
        assert telemetry.logs()[0].log_record.attributes["session.id"] == ids[0]


def test_application_session_hash_is_keyed(tmp_path: pathlib.Path) -> None:
    """Another key makes another id of the same raw session id, so that a list of raw ids does not give it away."""
    seen = []
    value = secrets.token_urlsafe(32)
    for key in ("the first key of two", "the second key of two"):
        with instrumented(source="app", secret=key) as telemetry:
            client = _server_side(tmp_path).test_client()
            client.set_cookie("session", value)
            client.get("/me")
            seen += _ids(telemetry)

    assert len(set(seen)) == 2


def test_application_key() -> None:
    """With `app_key` an entry of a signed-cookie session is the session; on the request that sets it as well."""
    with instrumented(source="app", app_key="visit") as telemetry:
        app = make_app(SECRET_KEY="a key for tests only")

        @app.get("/begin")
        def begin() -> str:
            flask.session["visit"] = "raw-visit-number-1"
            return "begun"

        client = app.test_client()
        for path in ("/", "/begin", "/"):
            client.get(path)

        before, begun, after = _ids(telemetry)
        assert before is None
        assert begun == after
        assert "raw-visit-number-1" not in everything(telemetry)


def test_application_session_without_key() -> None:
    """Without a secret the application's session id is not used at all, and that is counted."""
    with instrumented(source="app") as telemetry:
        app = make_app()

        class Plain(flask.sessions.SessionInterface):
            def open_session(self, app: Any, request: Any) -> Any:
                opened = flask.sessions.SecureCookieSession()
                opened.sid = "raw-sid"  # type: ignore[attr-defined]
                return opened

            def save_session(self, app: Any, session: Any, response: Any) -> None:
                """Nothing to keep."""

        app.session_interface = Plain()
        before = refused(telemetry, "app")
        app.test_client().get("/")

        assert _ids(telemetry) == [None]
        assert refused(telemetry, "app") > before
        assert "raw-sid" not in everything(telemetry)
