"""The same visit on every Streamlit we name, and what an older one is told."""

import pathlib
import sys
from importlib.metadata import version

import pytest

from tests.environments import python_with
from tests.instrumentors.streamlit.served import SETTINGS, SOON
from tests.instrumentors.streamlit.visit import STEPS, assert_right, folder_with_app, visit
from tests.started import Telemetry, started
from tests.streamlit_client import Browser

NEWEST = version("streamlit")


def _visited(python: pathlib.Path, folder: pathlib.Path) -> tuple[Telemetry, str, str]:
    command = ("opentelemetry-instrument", "streamlit", "run", "app.py", "--server.port={port}", *SETTINGS)
    with started(python, folder_with_app(folder), *command, **SOON) as server:
        browser = Browser(server.url)
        visit(browser)
        telemetry = server.telemetry()
        session_id = browser.session_id if "otel_session" in browser.cookies else ""
        return telemetry, session_id, server.written()


@pytest.mark.parametrize("wanted", ["1.57.*", "1.60.*", "1.64.*", NEWEST])
def test_visit(wanted: str, tmp_path: pathlib.Path) -> None:
    """A whole visit has the same reruns, causes, outcomes, children and ids on each version."""
    newest = wanted == NEWEST
    python = (
        pathlib.Path(sys.executable)
        if newest
        else python_with(f"streamlit=={wanted}", "sqlalchemy==2.0.*", extras="streamlit,sqlalchemy")
    )
    telemetry, session_id, written = _visited(python, tmp_path)
    spans = [span for span in telemetry.spans[session_id] if span.name != "connect"]
    assert_right(spans, STEPS)
    assert set(telemetry.spans) == {session_id}
    assert "otel-session failed" not in written


def test_too_old(tmp_path: pathlib.Path) -> None:
    """An older Streamlit runs as it is; one line says that its reruns are not recorded, and what to do."""
    python = python_with("streamlit==1.40.*", "sqlalchemy==2.0.*", extras="sqlalchemy")
    (tmp_path / "app.py").write_text("import streamlit as st\n\nst.write('hello')\nst.button('Again', key='again')\n")
    command = ("opentelemetry-instrument", "streamlit", "run", "app.py", "--server.port={port}", *SETTINGS)
    with started(python, tmp_path, *command, **SOON) as server:
        tab = Browser(server.url).open()
        tab.click("again")
        assert tab.texts() == ["hello"]
        written = server.written()
    assert written.count("Streamlit 1.40.2 is older than 1.57") == 1
    assert "pip install 'otel-session[streamlit]'" in written
    assert "Traceback" not in written
