"""A browser's first request, its cookie, and that nobody who reads telemetry can make the cookie."""

import re

import pytest

import otel_session
from otel_session import testing, visits
from tests.instrumentors.flask.served import COOKIE, everything, instrumented, make_app, set_cookies


def _parts(header: str) -> list[str]:
    return header.split("; ")[1:]


def test_id_at_once(telemetry: testing.Captured) -> None:
    """The first request of a browser has the session id that its second one has."""
    client = make_app().test_client()

    client.get("/")
    client.get("/deals/1")

    first, second = telemetry.spans()
    assert re.fullmatch("[0-9a-f]{32}", first.attributes["session.id"])
    assert first.attributes["session.id"] == second.attributes["session.id"]


def test_confirmed_on_the_second(telemetry: testing.Captured) -> None:
    """Only a request that brought the id back says that the session is confirmed."""
    client = make_app().test_client()

    client.get("/")
    client.get("/")

    confirmed = [s.attributes.get("otel_session.session.confirmed") for s in telemetry.spans()]
    assert confirmed == [None, True]


def test_two_browsers(telemetry: testing.Captured) -> None:
    """Two browsers have two session ids."""
    app = make_app()

    app.test_client().get("/")
    app.test_client().get("/")

    assert len({s.attributes["session.id"] for s in telemetry.spans()}) == 2


def test_logs_have_the_ids(telemetry: testing.Captured) -> None:
    """A line logged in a view carries the ids of the request's span."""
    make_app().test_client().get("/deals/7")

    (span,) = telemetry.spans()
    (record,) = (r.log_record for r in telemetry.logs())
    assert record.body == "deal 7"
    for name in ("session.id", "correlation.id"):
        assert record.attributes[name] == span.attributes[name]


def test_id_inside_the_request(telemetry: testing.Captured) -> None:
    """`current_session()` in a view is the id on the span, and outside there is none."""
    app = make_app()
    app.add_url_rule("/who", view_func=lambda: str(otel_session.current_session()))

    said = app.test_client().get("/who").text

    assert said == telemetry.spans()[0].attributes["session.id"]
    assert otel_session.current_session() is None


def test_cookie_attributes(telemetry: testing.Captured) -> None:
    """The cookie is HttpOnly, SameSite=Lax, for the whole host, for four hours; not Secure over plain HTTP."""
    (header,) = set_cookies(make_app().test_client().get("/"))

    assert sorted(_parts(header)) == ["HttpOnly", "Max-Age=14400", "Path=/", "SameSite=Lax"]


@pytest.mark.parametrize(
    ("base_url", "headers", "secure"),
    [
        ("https://localhost", {}, True),
        ("http://localhost", {"X-Forwarded-Proto": "https"}, True),
        ("http://localhost", {"X-Forwarded-Proto": "HTTPS, http"}, True),
        ("http://localhost", {"X-Forwarded-Proto": "http"}, False),
    ],
)
def test_secure_behind_tls(
    telemetry: testing.Captured, base_url: str, headers: dict[str, str], *, secure: bool
) -> None:
    """The cookie is Secure when the client came over TLS, to the server or to the proxy before it."""
    response = make_app().test_client().get("/", base_url=base_url, headers=headers)

    assert ("Secure" in _parts(set_cookies(response)[0])) is secure


@pytest.mark.parametrize(("setting", "base_url", "secure"), [("always", "http", True), ("never", "https", False)])
def test_secure_by_setting(setting: str, base_url: str, *, secure: bool) -> None:
    """`cookie_secure` decides where the scheme cannot be seen."""
    with instrumented(cookie_secure=setting):
        response = make_app().test_client().get("/", base_url=f"{base_url}://localhost")

    assert ("Secure" in _parts(set_cookies(response)[0])) is secure


def test_cookie_by_setting() -> None:
    """Name, domain and path of the cookie are those configured, and a request with that name continues the visit."""
    with instrumented(cookie_name="visit", cookie_domain="shop.test", cookie_path="/deals") as telemetry:
        client = make_app().test_client()
        response = client.get("/deals/1", base_url="http://www.shop.test")
        client.get("/deals/2", base_url="http://other.shop.test")

    header = response.headers["Set-Cookie"]
    assert header.startswith("visit=1.")
    assert {"Domain=shop.test", "Path=/deals"} <= set(_parts(header))
    assert len({s.attributes["session.id"] for s in telemetry.spans()}) == 1


def test_cookie_off() -> None:
    """With the cookie off no cookie is set and no request claims a session; the correlation id stays."""
    with instrumented(cookie=False) as telemetry:
        response = make_app().test_client().get("/")

    assert "Set-Cookie" not in response.headers
    (span,) = telemetry.spans()
    assert "session.id" not in span.attributes
    assert span.attributes["correlation.id"] == response.headers["X-Correlation-ID"]


def test_cookie_never_in_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No part of the cookie's secret, in any encoding, is in any span, log record or metric, headers captured."""
    for side in ("REQUEST", "RESPONSE"):
        monkeypatch.setenv(f"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_{side}", ".*")
    with instrumented() as telemetry:
        app = make_app()
        app.add_url_rule("/fail", view_func=lambda: 1 / 0)
        client = app.test_client()
        client.get("/")
        client.get("/deals/1")
        client.get("/fail")
        cookie = client.get_cookie(COOKIE)
        recorded = everything(telemetry)

    assert cookie is not None
    visit = visits.parse(cookie.value, 1e12)
    assert visit is not None
    assert visit.session_id in recorded
    encoded = cookie.value.split(".")[1]
    for written in (cookie.value, encoded, encoded[:12], visit.secret.hex(), repr(visit.secret)[2:-1]):
        assert written not in recorded


def test_repr_hides_the_secret() -> None:
    """A visit that somebody prints does not show what its cookie holds."""
    assert "secret" not in repr(visits.new_visit(0))


def test_cookie_refreshed_seldom(telemetry: testing.Captured) -> None:
    """The cookie is written on a visit's first request and its second, and then not at each."""
    client = make_app().test_client()

    written = [len(set_cookies(client.get("/"))) for _ in range(4)]

    assert written == [1, 1, 0, 0]
