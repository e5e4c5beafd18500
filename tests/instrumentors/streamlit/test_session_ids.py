"""The session id of a browser: what keeps it, what ends it, and who else sees the same."""

import pathlib
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from otel_session import visits
from tests.instrumentors.streamlit.served import PYTHON, streamlit
from tests.started import Browser as FlaskBrowser
from tests.started import Started, flask_folder, free_port, started
from tests.streamlit_client import Browser, Tab

APP = """
import streamlit as st

import otel_session

st.write(str(otel_session.current_session()))
st.write(str(otel_session.get_correlation_id()))
st.button("Again", key="again")
if st.button("Leave", key="leave"):
    st.write(str(otel_session.end_session()))
"""


def _folder(folder: pathlib.Path) -> pathlib.Path:
    (folder / "app.py").write_text(APP)
    return folder


def _shown(tab: Tab) -> str:
    return tab.texts()[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with streamlit(_folder(tmp_path_factory.mktemp("ids")), "run", "app.py") as found:
        yield found


def test_kept(server: Started) -> None:
    """A refresh, a second tab and a new connection keep the id; another browser has another one."""
    browser = Browser(server.url)
    first = browser.open()
    second = browser.open()
    assert _shown(first) == _shown(second) == browser.session_id
    assert _shown(first.refresh()) == _shown(second.reconnect()) == browser.session_id
    assert _shown(Browser(server.url).open()) != browser.session_id


def test_correlation(server: Started) -> None:
    """Each rerun has a correlation id of its own, 12 hex digits, also when the page's address was asked with one."""
    browser = Browser(server.url)
    browser.get("/", Accept="text/html", **{"X-Correlation-ID": "from-outside"})
    tab = browser.open()
    seen = [tab.texts()[1]]
    tab.click("again")
    seen.append(tab.texts()[1])
    assert seen[0] != seen[1]
    assert all(word.startswith("req_") and len(word) == 16 for word in seen)


def test_only_pages_get_the_cookie(server: Started) -> None:
    """The page's answer has the cookie, HttpOnly and SameSite; scripts, health checks and other clients' have none."""
    page = urllib.request.Request(server.url + "/", headers={"Accept": "text/html,*/*"})
    with urllib.request.urlopen(page) as response:
        (cookie,) = [value for value in response.headers.get_all("Set-Cookie") if value.startswith("otel_session=")]
        body = response.read().decode()
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    script = body.split('src="./static/')[1].split('"')[0]
    for path in (f"/static/{script}", "/_stcore/health", "/_stcore/host-config", "/favicon.png"):
        with urllib.request.urlopen(server.url + path) as response:
            assert "otel_session=" not in str(response.headers)


def test_not_modified(server: Started) -> None:
    """A browser that has the page already is sent it again when its cookie has to be written, and only then."""
    with urllib.request.urlopen(urllib.request.Request(server.url + "/", headers={"Accept": "text/html"})) as response:
        etag, cookie = response.headers["ETag"], response.headers["Set-Cookie"].split(";")[0]
    if etag is None:
        pytest.skip("this Streamlit's page has no ETag")
    headers = {"Accept": "text/html", "If-None-Match": etag}
    with urllib.request.urlopen(urllib.request.Request(server.url + "/", headers=headers)) as response:
        assert (response.status, "otel_session=" in response.headers["Set-Cookie"]) == (200, True)
    visit = visits.parse(cookie.partition("=")[2], time.time())
    assert visit is not None
    fresh = f"otel_session={visit.used(int(time.time())).cookie_value()}"
    with pytest.raises(urllib.error.HTTPError, match="304"):
        urllib.request.urlopen(urllib.request.Request(server.url + "/", headers={**headers, "Cookie": fresh}))


def test_behind_tls(server: Started) -> None:
    """Behind a proxy that speaks TLS the cookie is Secure."""
    headers = {"Accept": "text/html", "X-Forwarded-Proto": "https"}
    with urllib.request.urlopen(urllib.request.Request(server.url + "/", headers=headers)) as response:
        assert "Secure" in response.headers["Set-Cookie"]


def test_ended_by_the_application(server: Started) -> None:
    """After `end_session()` all tabs of the browser go on in one new session, and so does its next page."""
    browser = Browser(server.url)
    one, two = browser.open(), browser.open()
    before = _shown(one)
    one.click("leave")
    assert one.texts()[2] == "True"
    two.click("again")
    one.click("again")
    assert _shown(one) == _shown(two) != before
    assert _shown(browser.open()) == _shown(one) == browser.session_id


def test_restart(tmp_path: pathlib.Path) -> None:
    """A server that is killed and started again knows the browser whose page stayed open."""
    port, folder = free_port(), _folder(tmp_path)
    with streamlit(folder, "run", "app.py", port=port) as server:
        browser = Browser(server.url)
        tab = browser.open()
        before = _shown(tab)
        server.stop(9)
    with streamlit(folder, "run", "app.py", port=port):
        again = tab.reconnect()
        assert _shown(again) == _shown(again.refresh()) == before


def test_expiry_on_an_open_page(tmp_path: pathlib.Path) -> None:
    """Who works on one page stays in the session; who rests for too long has a new one, in all tabs and the cookie."""
    with streamlit(_folder(tmp_path), "run", "app.py", OTEL_SESSION_IDLE_S="3") as server:
        browser = Browser(server.url)
        tab, other = browser.open(), browser.open()
        before = _shown(tab)
        for _ in range(5):
            time.sleep(1)
            tab.click("again")
        assert _shown(tab) == before
        other.click("again")
        assert _shown(other) == before  # the cookie of its handshake alone would be too old
        assert _shown(browser.open()) == before == browser.session_id

        time.sleep(4)
        tab.click("again")
        other.click("again")
        after = _shown(tab)
        assert after == _shown(other) != before
        assert browser.session_id == before  # nothing could be sent yet
        assert _shown(browser.open()) == after == browser.session_id
        telemetry = server.telemetry()
    first = telemetry.spans[after][0]
    assert first.attributes["session.previous_id"] == before
    assert [log.event_name for log in telemetry.logs[before]] == ["session.start", "session.end"]
    assert [log.event_name for log in telemetry.logs[after]] == ["session.start"]


def test_flask_on_the_same_host(tmp_path: pathlib.Path, server: Started) -> None:
    """A Flask application on the same host gives the same id, whichever comes first."""
    command = ("opentelemetry-instrument", "flask", "run", "--port", "{port}")
    with started(PYTHON, flask_folder(tmp_path), *command) as flask:
        visitor = FlaskBrowser(flask.url)
        visitor.get("/plain")
        browser = Browser(server.url)
        browser.jar = visitor.jar
        browser._opener = visitor._opener
        assert _shown(browser.open()) == visitor.session_id

        second = Browser(server.url)
        shown = _shown(second.open())
        other = FlaskBrowser(flask.url)
        other.jar, other._opener = second.jar, second._opener
        other.get("/plain")
        assert other.session_id == shown
        telemetry = flask.telemetry()
    assert set(telemetry.spans) == {visitor.session_id, shown}


def test_without_our_cookie(tmp_path: pathlib.Path) -> None:
    """Where the cookie may not be set, an id lasts as long as the page; nothing is kept in the browser for it."""
    with streamlit(_folder(tmp_path), "run", "app.py", OTEL_SESSION_COOKIE="off") as server:
        browser = Browser(server.url)
        tab = browser.open()
        before = _shown(tab)
        tab.click("again")
        assert _shown(tab) == _shown(tab.reconnect()) == before
        assert _shown(tab.refresh()) != before
        assert "otel_session" not in browser.cookies


@pytest.mark.parametrize("source", ["header:X-Session", "none"])
def test_other_sources(tmp_path: pathlib.Path, source: str) -> None:
    """A source of one's own is asked at the handshake; with none there is no session, and no cookie."""
    with streamlit(_folder(tmp_path), "run", "app.py", OTEL_SESSION_SOURCE=source) as server:
        browser = Browser(server.url)
        browser.headers = {"X-Session": "customer-17"}
        assert _shown(browser.open()) == ("customer-17" if source != "none" else "None")
        assert "otel_session" not in browser.cookies
