"""The optional calls: build line and panel, in Streamlit's own test runner."""

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

import otel_session
from otel_session import streamlit as session
from otel_session import testing


def _page() -> None:
    from otel_session import streamlit as session

    session.build_line()
    session.panel()


@pytest.fixture
def linked() -> Iterator[testing.Captured]:
    with testing.captured() as captured:
        otel_session.instrument(viewer_url="https://view.example/s/{session_id}", **captured.providers)
        yield captured
        otel_session.uninstrument()


def test_panel(linked: testing.Captured) -> None:
    """The panel has the session's short id, this rerun's correlation id, the build, and a link to the session."""
    page = AppTest.from_function(_page).run()
    assert not page.exception
    (span,) = linked.spans()
    ids = span.attributes or {}
    (line,) = page.main.caption
    (panel,) = page.sidebar.caption
    assert line.value in ("Development", otel_session.build_line()) or line.value.startswith("Build\\:")
    assert f"Session `{str(ids['session.id'])[:8]}`" in panel.value
    assert f"Request `{ids['correlation.id']}`" in panel.value
    assert f"](https://view.example/s/{ids['session.id']})" in panel.value


def test_runs_are_told(linked: testing.Captured) -> None:
    """Under Streamlit's own test runner each run is told, in one session."""
    page = AppTest.from_string("import streamlit as st\nst.button('Go', key='go')\nst.text_input('Name', key='name')")
    page.run()
    page.button(key="go").click().run()
    page.text_input(key="name").input("Ada").run()
    spans = linked.spans()
    assert [(span.attributes or {})["streamlit.rerun.cause"] for span in spans] == ["first_load", "widget", "widget"]
    assert len({(span.attributes or {})["session.id"] for span in spans}) == 1


def test_without_instrumentation() -> None:
    """Nothing is switched on: the panel says that there is no session, and the page works."""
    page = AppTest.from_function(_page).run()
    assert not page.exception
    assert page.sidebar.caption[0].value.startswith("No session")
    assert session.session_url("x") is None
