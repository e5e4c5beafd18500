"""Who the user is: from Flask-Login or a callable, as a keyed hash unless the id itself was asked for."""

from typing import Any

import flask
import flask_login
import pytest

from otel_session import testing
from tests.instrumentors.flask.served import everything, instrumented, make_app


class _User(flask_login.UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


def _with_login(**settings: Any) -> flask.Flask:
    app = make_app(SECRET_KEY="a key for tests only", **settings)
    manager = flask_login.LoginManager(app)
    manager.user_loader(_User)

    @app.get("/login/<name>")
    def login(name: str) -> str:
        flask_login.login_user(_User(name))
        return "in"

    @app.get("/logout")
    def logout() -> str:
        flask_login.logout_user()
        return "out"

    return app


def who() -> str | None:
    """The callable that a test names; it looks at the application's session."""
    if flask.request.path == "/broken":
        raise RuntimeError("nobody knows")
    return flask.session.get("name") or "anonymous-7"


CALLABLE = f"callable:{__name__}:who"


def _users(telemetry: testing.Captured) -> list[Any]:
    return [s.attributes.get("user.hash") for s in telemetry.spans()]


def test_flask_login(telemetry: testing.Captured) -> None:
    """Flask-Login's user is on the span as `user.hash`, from the login on until the logout; the id is nowhere."""
    client = _with_login().test_client()
    for path in ("/", "/login/ada-lovelace", "/deals/1", "/logout", "/"):
        client.get(path)

    before, login, during, _, after = _users(telemetry)
    assert before is None
    assert after is None
    assert login == during
    assert len(during) == 32
    assert telemetry.logs()[-1].log_record.attributes["user.hash"] == during
    telemetry.clear()
    client.get("/login/ada-lovelace")
    client.get("/deals/1")
    text = everything(telemetry)
    assert text.count("ada-lovelace") == text.count("/login/ada-lovelace")


def test_same_user_same_hash() -> None:
    """A user has one hash in all browsers, two users have two, and another key gives another."""
    hashes = []
    for key in ("the first key of two", "the second key of two"):
        with instrumented(secret=key) as telemetry:
            app = _with_login()
            for name in ("ada", "ada", "bob"):
                client = app.test_client()
                client.get(f"/login/{name}")
            hashes.append(_users(telemetry))

    (ada, again, bob), (other_key, _, _) = hashes
    assert ada == again
    assert len({ada, bob, other_key}) == 3


def test_raw_by_request() -> None:
    """The id itself goes out as `user.id` only when that was asked for."""
    with instrumented(user_form="raw") as telemetry:
        client = _with_login().test_client()
        client.get("/login/ada")
        client.get("/")

    assert [s.attributes.get("user.id") for s in telemetry.spans()] == ["ada", "ada"]
    assert _users(telemetry) == [None, None]


def test_off() -> None:
    """With `user=off` no user is named."""
    with instrumented(user="off") as telemetry:
        client = _with_login().test_client()
        client.get("/login/ada")
        client.get("/")

    assert _users(telemetry) == [None, None]


def test_callable() -> None:
    """A callable names the user, and its look at the session adds no `Vary: Cookie`."""
    with instrumented(user=CALLABLE, user_form="raw") as telemetry:
        response = make_app(SECRET_KEY="a key for tests only").test_client().get("/")

    assert telemetry.spans()[0].attributes["user.id"] == "anonymous-7"
    assert "Vary" not in response.headers


def test_failing_callable() -> None:
    """A callable that fails leaves the response and the session as they are."""
    with instrumented(user=CALLABLE, source="app", app_key="name") as telemetry:
        app = _with_login()

        @app.get("/put")
        def put() -> str:
            flask.session["name"] = "ada"
            return "put"

        app.add_url_rule("/broken", view_func=lambda: "fine")
        client = app.test_client()
        client.get("/put")
        response = client.get("/broken")

    assert response.text == "fine"
    _, broken = telemetry.spans()
    assert "user.hash" not in broken.attributes
    assert "session.id" in broken.attributes


def test_without_a_key() -> None:
    """Without a key there is no hash that could be kept secret, so no user is named."""
    with instrumented(user=CALLABLE) as telemetry:
        app = make_app()
        app.test_client().get("/")

    assert _users(telemetry) == [None]


@pytest.mark.parametrize("never", ["user.hash", "user.id"])
def test_never_in_baggage(telemetry: testing.Captured, never: str) -> None:
    """The user does not travel in baggage."""
    from opentelemetry import propagate

    app = _with_login()

    @app.get("/sent")
    def sent() -> dict[str, str]:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return carrier

    client = app.test_client()
    client.get("/login/ada")

    assert never not in client.get("/sent").json["baggage"]


def test_the_user_from_an_entry_of_flasks_session() -> None:
    """`session:uid` takes that entry, from the login on, and adds no `Vary: Cookie` to pages that do not look."""
    app = make_app(SECRET_KEY="k" * 20)

    @app.post("/login")
    def login() -> str:
        flask.session["uid"] = "alice"
        return "hello"

    with instrumented(user="session:uid", user_form="raw") as telemetry:
        client = app.test_client()
        client.get("/")
        client.post("/login")
        response = client.get("/deals/7")

    users = {s.name: (s.attributes or {}).get("user.id") for s in telemetry.spans()}
    assert users == {"GET /": None, "POST /login": "alice", "GET /deals/<int:deal_id>": "alice"}
    assert "Vary" not in response.headers
