"""A path for a store, and a look past the store at the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be made."""
    return tmp_path / "telemetry.db"


@pytest.fixture
def ask(path: Path) -> Callable[[str], Any]:
    """Ask SQLite itself for one value of the file."""

    def answer(query: str) -> Any:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return connection.execute(query).fetchone()[0]

    return answer
