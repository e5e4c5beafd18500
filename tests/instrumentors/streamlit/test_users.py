"""Fifty users at once: every rerun told once and to the right session; nothing of them stays."""

import pathlib
import threading

from tests.instrumentors.streamlit.measure_users import Load
from tests.instrumentors.streamlit.served import streamlit
from tests.instrumentors.streamlit.visit import reruns_of
from tests.streamlit_client import Browser, Tab

APP = """
import streamlit as st

import otel_session

st.toggle("Billable", key="billable")
st.write(str(otel_session.current_session()))
"""
USERS, RERUNS, WAVES = 50, 4, 3
MAX_GROWTH_BYTES = 12_000_000


def _wave(load: Load) -> list[Browser]:
    browsers = [Browser(load.server.url) for _ in range(USERS)]
    tabs: list[Tab] = []

    def use(browser: Browser) -> None:
        tab = browser.open()
        tabs.append(tab)
        for number in range(RERUNS):
            tab.set("billable", number % 2 == 0)
            assert tab.texts() == [browser.session_id]

    threads = [threading.Thread(target=use, args=(browser,)) for browser in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for tab in tabs:
        tab.close()
    return browsers


def test_fifty_users(tmp_path: pathlib.Path) -> None:
    """Fifty users rerun at the same time, three times over: as many reruns are told as there were, memory is flat."""
    (tmp_path / "app.py").write_text(APP)
    with streamlit(tmp_path, "run", "app.py", "--server.disconnectedSessionTTL=1") as server:
        load = Load(server)
        seen, memory = [], []
        for _ in range(WAVES):
            seen += _wave(load)
            memory.append(load.memory_bytes())
        telemetry = server.telemetry()
    assert set(telemetry.spans) == {browser.session_id for browser in seen}
    assert len(telemetry.spans) == USERS * WAVES
    for spans in telemetry.spans.values():
        assert len(reruns_of(spans)) == RERUNS + 1
    assert memory[-1] - memory[1] < MAX_GROWTH_BYTES, memory
