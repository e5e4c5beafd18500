"""The connection, on a database that is filled at its first use."""

import os
import time
from pathlib import Path
from typing import Any

import streamlit as st
from sqlalchemy import Engine, event
from streamlit.connections import SQLConnection

from .seed import fill_if_empty


def connection() -> SQLConnection:
    """The connection that all users share; Streamlit keeps it from run to run."""
    url = database_url()
    found = st.connection("sql", url=url)
    _prepare(url, found.engine)
    return found


def database_url() -> str:
    """What ``HOURS_DATABASE_URL`` says, or an SQLite file in `instance/` beside the app."""
    named = os.environ.get("HOURS_DATABASE_URL")
    if named:
        return named
    folder = Path(__file__).resolve().parent.parent / "instance"
    folder.mkdir(exist_ok=True)
    return f"sqlite:///{folder / 'hours.sqlite'}"


@st.cache_resource(show_spinner=False)
def _prepare(url: str, _engine: Engine) -> None:
    # Once for each database: Streamlit leaves an argument with an underscore out of the cache's key.
    if _engine.dialect.name == "sqlite":
        event.listen(_engine, "connect", _add_pg_sleep)
    fill_if_empty(_engine)


def _add_pg_sleep(connection: Any, record: object) -> None:
    # The slow report sleeps inside the database; SQLite has no such function of its own.
    connection.create_function("pg_sleep", 1, time.sleep)
