"""What a user had selected, after a refresh, on a restarted server, and in other hands."""

import pathlib

import pytest

import otel_session
from otel_session import streamlit as session
from tests.instrumentors.streamlit.served import streamlit
from tests.started import free_port
from tests.streamlit_client import Browser

SECRET = "a long and random text"
APP = """
import pathlib

import streamlit as st

from otel_session import streamlit as session

project = session.Selection("project", allowed=lambda item: not pathlib.Path(f"gone-{item}").exists())
if st.button("Seven", key="seven"):
    project.select("7")
if st.button("Ünicode", key="other"):
    project.select("prøject 8/&?")
if st.button("None", key="none"):
    project.clear()
st.write(str(project.current()))
"""


def _folder(folder: pathlib.Path) -> pathlib.Path:
    (folder / "app.py").write_text(APP)
    return folder


def test_given_back(tmp_path: pathlib.Path) -> None:
    """A selection comes back after a refresh and on a restarted server; in another tab with the address, too."""
    port, folder = free_port(), _folder(tmp_path)
    with streamlit(folder, "run", "app.py", port=port, OTEL_SESSION_SECRET=SECRET) as server:
        browser = Browser(server.url)
        tab = browser.open()
        assert tab.texts() == ["None"]
        for key, item in (("seven", "7"), ("other", "prøject 8/&?")):
            tab.click(key)
            assert tab.texts() == [item]
            tab = tab.refresh()
            assert tab.texts() == [item]
        assert browser.open(query=tab.query).texts() == ["prøject 8/&?"]
        assert browser.open().texts() == ["None"]
    with streamlit(folder, "run", "app.py", port=port, OTEL_SESSION_SECRET=SECRET):
        assert tab.reconnect().texts() == ["prøject 8/&?"]
        tab = tab.refresh()
        tab.click("none")
        assert (tab.texts(), tab.query) == (["None"], "")


def test_not_for_others(tmp_path: pathlib.Path) -> None:
    """In another browser, changed by hand, or no longer allowed, an address gives nothing; and nothing breaks."""
    with streamlit(_folder(tmp_path), "run", "app.py", OTEL_SESSION_SECRET=SECRET) as server:
        browser = Browser(server.url)
        tab = browser.open()
        tab.click("seven")
        good = tab.query
        assert browser.open(query=good).texts() == ["7"]
        assert Browser(server.url).open(query=good).texts() == ["None"]
        token = good.partition("=")[2]
        for wrong in ("", "x", ".", "N.", token[:-1], "O" + token[1:], "%00." + token, "A" * 5_000 + ".x", "%C3%A9.x"):
            assert browser.open(query=f"selected_project={wrong}").texts() == ["None"], wrong
        (tmp_path / "gone-7").touch()
        again = browser.open(query=good)
        assert (again.texts(), again.query) == (["None"], "")


def test_set_up() -> None:
    """A kind that cannot be used, and a missing secret, are said at once."""
    with pytest.raises(otel_session.ConfigError, match="expected lower-case letters, digits and _"):
        session.Selection("My Project", keeper=session.AddressKeeper(SECRET))
    with pytest.raises(otel_session.ConfigError, match="set OTEL_SESSION_SECRET"):
        session.Selection("project")
    with pytest.raises(ValueError, match="expected 256 at most"):
        session.Selection("project", keeper=session.AddressKeeper(SECRET)).select("7" * 257)
