"""A user who is quicker than the script: Streamlit stops the run, and begins the next one on another thread."""

from pathlib import Path

from otel_session import attributes as names
from tests.instrumentors.streamlit.seen import reruns_in
from tests.instrumentors.streamlit.served import streamlit
from tests.streamlit_client import Browser

SCRIPT = """
import time

import streamlit as st


def slow():
    st.title("Slow")
    for step in range(100):
        time.sleep(0.05)
        st.write(step)


def quick():
    st.title("Quick")
    if st.button("Stop"):
        st.stop()


st.navigation([st.Page(quick, title="quick"), st.Page(slow, title="slow")]).run()
"""


def test_a_run_that_makes_room(tmp_path: Path) -> None:
    """It says so, with the page that it ran; the next one is linked to it. What the script stops is told apart."""
    (tmp_path / "app.py").write_text(SCRIPT)
    with streamlit(tmp_path, "run", "app.py") as server:
        tab = Browser(server.url).open()
        pages = tab.pages
        tab.page, tab.page_name = pages["slow"], "slow"
        tab.rerun(wait=False)
        while "Slow" not in tab.texts():
            tab.settle(0.03)
        tab.page, tab.page_name = pages["quick"], "quick"
        tab.rerun()
        tab.click("Stop")
        tab.close()
        spans = reruns_in(server.telemetry())
    assert [(span.attributes[names.RERUN_PAGE], span.attributes[names.RERUN_CAUSE]) for span in spans] == [
        ("/", "first_load"),
        ("/slow", "page"),
        ("/", "page"),
        ("/", "widget"),
    ]
    assert [span.attributes[names.RERUN_OUTCOME] for span in spans] == ["ok", "rerun", "ok", "stopped"]
    linked = [[link.span_id for link in span.links] for span in spans]
    assert linked == [[], *([span.span_id] for span in spans[:-1])]
