"""In a real browser the session outlives the server, and a Flask application on the same host shares it."""

import signal
import time
from pathlib import Path

from playwright.sync_api import Browser

from otel_session import attributes as names
from otel_session import visits
from tests.browsers import Visitor, chromium  # noqa: F401
from tests.instrumentors.streamlit.seen import reruns_in
from tests.instrumentors.streamlit.served import EXAMPLE, PYTHON, SOON, streamlit
from tests.started import flask_folder, started

HOST = "127.0.0.1"


def session_of(visitor: Visitor) -> str:
    """The public id that belongs to the cookie that a browser holds."""
    visit = visits.parse(visitor.cookies["otel_session"], time.time())
    assert visit is not None
    return visit.session_id


def test_a_restart_keeps_the_session(chromium: Browser, tmp_path: Path) -> None:  # noqa: F811
    """A page that was open when the server was killed goes on in the same session when there is one again."""
    database = {"HOURS_DATABASE_URL": f"sqlite:///{tmp_path}/hours.sqlite"}
    with streamlit(tmp_path, "run", str(EXAMPLE), **database) as server:
        port = int(server.url.rpartition(":")[2])
        visitor = Visitor(chromium, server.url)
        tab = visitor.open("/reports")
        session_id = session_of(visitor)
        tab.page.wait_for_timeout(1000)  # longer than what is in the server's memory only
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    tab.wait_for_connection(lost=True)
    with streamlit(tmp_path, "run", str(EXAMPLE), port=port, **database) as server:
        tab.wait_for_connection()
        tab.click("Work it out")
        assert session_of(visitor) == session_id
        visitor.close()
        reruns = reruns_in(server.telemetry())
    assert {span.session_id for span in reruns} == {session_id}
    assert len({span.attributes[names.TAB_ID] for span in reruns}) == 2
    assert [span.attributes[names.RERUN_CAUSE] for span in reruns] == ["first_load"] * 2
    assert "slow report" in server.written()


def test_flask_on_the_same_host_has_the_same_session(chromium: Browser, tmp_path: Path) -> None:  # noqa: F811
    """Whoever comes from a Flask application to a Streamlit one, and back, is in one session in both."""
    flask, hours = tmp_path / "flask", tmp_path / "hours"
    for folder in (flask, hours):
        folder.mkdir()
    command = ("opentelemetry-instrument", "flask", "--app", "app", "run", "--port", "{port}")
    database = {"HOURS_DATABASE_URL": f"sqlite:///{hours}/hours.sqlite"}
    with (
        started(PYTHON, flask_folder(flask), *command, **SOON) as deals,
        streamlit(hours, "run", str(EXAMPLE), **database) as server,
    ):
        visitor = Visitor(chromium, f"http://{HOST}")
        page = visitor.context.new_page()
        page.goto(f"{deals.url}/deals")
        given = session_of(visitor)
        visitor.url = server.url
        visitor.open("/reports")
        page.goto(f"{deals.url}/plain")
        assert session_of(visitor) == given
        visitor.close()
        assert {span.session_id for span in reruns_in(server.telemetry())} == {given}
        requests = deals.telemetry().requests(given)
        assert [span.attributes["url.path"] for span in requests if span.attributes["url.path"] != "/favicon.ico"] == [
            "/deals",
            "/plain",
        ]
