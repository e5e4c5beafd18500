"""A fragment's timer whose time comes when a user changes something."""

from pathlib import Path
from typing import Any

from otel_session import attributes as names
from tests.instrumentors.streamlit.seen import reruns_in
from tests.instrumentors.streamlit.served import streamlit
from tests.streamlit_client import Browser, Tab

SCRIPT = """
import time

import streamlit as st

st.toggle("Billable", key="billable")
st.toggle("Busy", key="busy", on_change=time.sleep, args=(1,))


@st.fragment(run_every="1h")
def live():
    st.write("live")
    st.toggle("Fine", key="fine")


live()
"""


def _told(span: Any) -> tuple[object, object]:
    return span.attributes[names.RERUN_CAUSE], tuple(span.attributes.get(names.WIDGET_KEYS, ()))


def _seen(folder: Path, *steps: Any, **variables: str) -> list[tuple[object, object]]:
    (folder / "app.py").write_text(SCRIPT)
    with streamlit(folder, "run", "app.py", **variables) as server:
        tab = Browser(server.url).open()
        for step in steps:
            step(tab)
        tab.close()
        return [_told(span) for span in reruns_in(server.telemetry())][1:]


def _fill(widget: str) -> Any:
    return lambda tab: tab.fill(widget, True)


def test_it_brings_a_change_first(tmp_path: Path) -> None:
    """A page sends a click a moment later. What a timer in between has brought is the click's, and once only."""
    found = _seen(tmp_path, Tab.tick, _fill("Billable"), Tab.tick, Tab.rerun, Tab.rerun, Tab.tick)

    assert found == [
        ("timer", ()),
        ("timer", ("billable",)),
        ("widget", ("billable",)),
        ("request", ()),
        ("timer", ()),
    ]


def test_it_brings_a_fragments_change_first(tmp_path: Path) -> None:
    """The same inside of the fragment."""
    found = _seen(tmp_path, _fill("Fine"), Tab.tick, lambda tab: tab.rerun(fragment_id=next(iter(tab.timers))))

    assert found == [("timer", ("fine",)), ("fragment", ("fine",))]


def test_both_wait(tmp_path: Path) -> None:
    """A click and a timer that wait for a run to end become one run, of the whole script: the click's."""

    def click_and_tick(tab: Tab) -> None:
        fragment_id = next(iter(tab.timers))
        tab.set("Busy", True, wait=False)
        tab.settle(0.3)  # its callback is running
        tab.set("Billable", True, wait=False)
        tab.rerun(fragment_id=fragment_id, auto=True, wait=False)
        tab.settle(2.0)

    found = _seen(tmp_path, click_and_tick, STREAMLIT_RUNNER_FAST_RERUNS="false")

    assert found == [("widget", ("busy",)), ("widget", ("billable",))]
