"""`otel_session.instrument()` at the top of a script, called on each run of it."""

import pathlib
import threading

from tests.instrumentors.streamlit.served import streamlit
from tests.instrumentors.streamlit.visit import reruns_of
from tests.streamlit_client import Browser

APP = """
import logging
import warnings

warnings.simplefilter("error")

import streamlit as st

import otel_session

otel_session.instrument()
logging.getLogger("app").warning("ran")
st.write(str(otel_session.current_session()))
st.button("Again", key="again")
"""


def test_from_the_second_run_on(tmp_path: pathlib.Path) -> None:
    """The runs after the first are recorded, refreshes keep the id, and nothing is said on the console."""
    (tmp_path / "app.py").write_text(APP)
    with streamlit(tmp_path, "run", "app.py", instrumented=False) as server:
        browser = Browser(server.url)
        tab = browser.open()
        assert tab.texts() == ["None"]
        for _ in range(3):
            tab.click("again")
        (session_id,) = tab.texts()
        again = tab.refresh()
        assert again.texts() == [session_id]
        assert browser.open().texts() == [session_id]
        assert Browser(server.url).open().texts() != [session_id]
        written = server.written()
        telemetry = server.telemetry()
    reruns = reruns_of(telemetry.spans[session_id])
    causes = [span.attributes["streamlit.rerun.cause"] for span in reruns]
    assert causes == ["first_load", "widget", "widget", "first_load", "first_load"]
    assert "otel" not in written.lower()
    assert "warn" not in written.lower()


def test_users_at_once(tmp_path: pathlib.Path) -> None:
    """Several users whose first runs switch it on at the same moment: each later run is recorded once."""
    (tmp_path / "app.py").write_text(APP)
    with streamlit(tmp_path, "run", "app.py", instrumented=False) as server:
        browsers = [Browser(server.url) for _ in range(8)]
        threads = [threading.Thread(target=browser.open) for browser in browsers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        tab = Browser(server.url).open()
        tab.click("again")
        (session_id,) = tab.texts()
        telemetry = server.telemetry()
    assert [s.attributes["streamlit.rerun.cause"] for s in reruns_of(telemetry.spans[session_id])] == [
        "first_load",
        "widget",
    ]
