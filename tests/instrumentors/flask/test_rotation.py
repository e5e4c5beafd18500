"""When a session starts, ends and gives way to the next; what its events say."""

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import flask
import pytest

import otel_session
from otel_session import testing, visits
from tests.instrumentors.flask.served import (
    COOKIE,
    client_with,
    crafted,
    events,
    instrumented,
    make_app,
    server,
    set_cookies,
    wait_for,
)


@pytest.mark.parametrize(
    ("start_s", "last_s", "reason", "ended_s_ago"),
    [(5_000, 2_000, "idle", 200), (15_000, 100, "lifetime", 600)],
)
def test_rotation(telemetry: testing.Captured, start_s: float, last_s: float, reason: str, ended_s_ago: float) -> None:
    """After 30 minutes without a request, or 4 hours in any case, a new id takes over and names the one before."""
    old = crafted(start_s=start_s, last_s=last_s)
    client = client_with(make_app(), old)

    client.get("/")
    client.get("/")

    first, second = telemetry.spans()
    assert first.attributes["session.id"] == second.attributes["session.id"] != old.session_id
    assert first.attributes["session.previous_id"] == second.attributes["session.previous_id"] == old.session_id
    (end,) = events(telemetry, "session.end")
    assert (end["session.id"], end["otel_session.session.end_reason"]) == (old.session_id, reason)
    assert end["at_s"] == pytest.approx(time.time() - ended_s_ago, abs=5)
    (start,) = events(telemetry, "session.start")
    assert start["session.id"] == first.attributes["session.id"]
    assert start["session.previous_id"] == old.session_id


def test_times_by_setting() -> None:
    """Idle time and longest time are configurable."""
    visit = crafted(start_s=100, last_s=50)
    with instrumented(idle_s=20, lifetime_s=90) as telemetry:
        client_with(make_app(), visit).get("/")

    assert telemetry.spans()[0].attributes["session.previous_id"] == visit.session_id


def test_continues_within_both_times(telemetry: testing.Captured) -> None:
    """A visit used 29 minutes ago that began 3 hours ago goes on, and its cookie keeps when it began."""
    visit = crafted(start_s=3 * 3_600, last_s=29 * 60)
    client = client_with(make_app(), visit)

    client.get("/")

    assert telemetry.spans()[0].attributes["session.id"] == visit.session_id
    kept = visits.parse(client.get_cookie(COOKIE).value, time.time())
    assert kept is not None
    assert kept.start_s == visit.start_s
    assert kept.last_s == pytest.approx(time.time(), abs=5)


def test_start_event_on_the_second_request(telemetry: testing.Captured) -> None:
    """`session.start` comes with the second request, bears the time of the first, and comes once."""
    client = make_app().test_client()
    before = time.time()

    client.get("/")
    assert events(telemetry, "session.start") == []
    for _ in range(3):
        client.get("/")

    (start,) = events(telemetry, "session.start")
    assert start["session.id"] == telemetry.spans()[0].attributes["session.id"]
    assert start["at_s"] == pytest.approx(before, abs=2)
    assert "session.previous_id" not in start


def test_probes_start_no_session(telemetry: testing.Captured) -> None:
    """A client that never brings the cookie back makes no event, and none of its requests is confirmed."""
    app = make_app()

    for _ in range(20):
        app.test_client(use_cookies=False).get("/")

    assert telemetry.logs() == []
    assert not any("otel_session.session.confirmed" in s.attributes for s in telemetry.spans())


def test_unconfirmed_visit_has_no_end(telemetry: testing.Captured) -> None:
    """A cookie that comes back only after it expired ends nothing: its session never started."""
    client_with(make_app(), crafted(start_s=9_000, last_s=9_000)).get("/")

    assert events(telemetry, "session.end") == []


def test_parallel_second_requests(telemetry: testing.Captured) -> None:
    """Requests that a page sends at once after the first one give one `session.start`."""
    cookie = f"{COOKIE}={visits.new_visit(time.time()).cookie_value()}"
    gate = threading.Barrier(8)
    app = make_app()

    def get(_: int) -> None:
        gate.wait()
        app.test_client(use_cookies=False).get("/", headers={"Cookie": cookie})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(get, range(8)))

    assert len(events(telemetry, "session.start")) == 1


def test_parallel_requests_after_the_end(telemetry: testing.Captured) -> None:
    """A page that wakes up and sends several requests with its old cookie gets one new session, and one end event."""
    old = crafted(start_s=5_000, last_s=4_000)
    app = make_app()

    for _ in range(3):
        client_with(app, old).get("/")

    ids = {s.attributes["session.id"] for s in telemetry.spans()}
    assert len(ids) == 1
    assert ids != {old.session_id}
    assert len(events(telemetry, "session.end")) == 1


def _with_logout() -> flask.Flask:
    app = make_app()

    @app.post("/logout")
    def logout() -> str:
        return str(otel_session.end_session())

    return app


def test_end_session(telemetry: testing.Captured) -> None:
    """`end_session()` deletes the cookie, says so in one event, and the next request begins a session of its own."""
    client = _with_logout().test_client()
    client.get("/")
    client.get("/")

    response = client.post("/logout")
    client.get("/")

    assert response.text == "True"
    (header,) = set_cookies(response)
    assert header.startswith(f"{COOKIE}=; ")
    assert "Max-Age=0" in header
    ids = [s.attributes["session.id"] for s in telemetry.spans()]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert "session.previous_id" not in telemetry.spans()[3].attributes
    (end,) = events(telemetry, "session.end")
    assert (end["session.id"], end["otel_session.session.end_reason"]) == (ids[0], "explicit")


def test_ended_session_does_not_come_back(telemetry: testing.Captured) -> None:
    """A request still under way at the logout may bring the cookie back; the session stays ended."""
    app = _with_logout()
    client = app.test_client()
    client.get("/")
    client.get("/")
    value = client.get_cookie(COOKIE).value
    client.post("/logout")

    client.set_cookie(COOKIE, value)
    client.get("/")

    assert telemetry.spans()[-1].attributes["session.id"] != telemetry.spans()[0].attributes["session.id"]


def test_probe_of_the_logout_page(telemetry: testing.Captured) -> None:
    """A client without a session that asks for the logout page makes no event."""
    app = _with_logout()

    for _ in range(3):
        app.test_client(use_cookies=False).post("/logout")

    assert telemetry.logs() == []


def test_nothing_to_end() -> None:
    """Outside of a session `end_session()` says that there was none."""
    assert otel_session.end_session() is False


def test_latest_of_several_cookies(telemetry: testing.Captured) -> None:
    """Of several cookies of our name (old domain or path settings) the one used last counts."""
    old = crafted(start_s=9_000, last_s=8_000)
    fresh = crafted(start_s=100, last_s=50)
    header = "; ".join(f"{COOKIE}={value}" for value in ("rubbish", old.cookie_value(), fresh.cookie_value()))

    make_app().test_client(use_cookies=False).get("/", headers={"Cookie": header})

    assert telemetry.spans()[0].attributes["session.id"] == fresh.session_id


def test_on_a_real_server(telemetry: testing.Captured) -> None:
    """A keep-alive connection that two browsers share keeps their sessions apart, and no context stays on it."""
    with server(make_app()) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        cookies: list[str] = ["", ""]
        for turn in (0, 1, 0, 1):
            connection.request("GET", "/", headers={"Cookie": cookies[turn]} if cookies[turn] else {})
            response = connection.getresponse()
            response.read()
            if written := response.getheader("Set-Cookie"):
                cookies[turn] = written.partition(";")[0]
        connection.close()
        spans = wait_for(lambda: len(telemetry.spans()) == 4 and telemetry.spans())

    ids = [s.attributes["session.id"] for s in spans]
    assert ids[0] == ids[2] != ids[1] == ids[3]
