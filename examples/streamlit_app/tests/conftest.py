"""One database per test, and the pages as Streamlit's own test runner runs them."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from sqlalchemy import Engine, create_engine
from streamlit.testing.v1 import AppTest

FOLDER = Path(__file__).resolve().parent.parent
# `hours` is found wherever pytest is started, like by `streamlit run path/to/app.py`.
sys.path.insert(0, str(FOLDER))

OpenPage = Callable[[str], AppTest]


@pytest.fixture
def database_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a database of the test's own, which the app uses; no answer of another test is remembered."""
    url = f"sqlite:///{tmp_path / 'hours.sqlite'}"
    monkeypatch.setenv("HOURS_DATABASE_URL", url)
    monkeypatch.setenv("HOURS_SLOW_REPORT_S", "0")
    st.cache_data.clear()
    yield url
    st.cache_data.clear()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The same database, beside the app."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def open_page(database_url: str) -> OpenPage:
    """Open a page such as `overview` in a browser of its own."""

    def open_page(name: str) -> AppTest:
        return AppTest.from_file(str(FOLDER / "views" / f"{name}.py"), default_timeout=30).run()

    return open_page
