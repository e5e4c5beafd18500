"""Counts what SQLite is asked: a line in `DEMO_COUNT_FILE` per statement, Streamlit's id of the page it was for."""

import functools
import os
from typing import Any

from sqlalchemy import Engine, event
from streamlit.runtime.scriptrunner import get_script_run_ctx

# Transactions are no statements; the PRAGMA is SQLAlchemy's own look at an engine's first connection.
_NOT_COUNTED = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA read_uncommitted")


@functools.cache
def count_once() -> None:
    """Watch every connection; the script runs again and again, this once."""
    event.listen(Engine, "connect", _watch)


def _watch(connection: Any, record: object) -> None:
    connection.set_trace_callback(_count)


def _count(statement: str) -> None:
    context = get_script_run_ctx()
    if context is not None and not statement.startswith(_NOT_COUNTED):
        with open(os.environ["DEMO_COUNT_FILE"], "a") as file:
            file.write(f"{context.session_id}\n")
