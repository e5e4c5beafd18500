"""Streamlit's own test runner makes the script the process's `__main__`, which a process spawned later would run."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _main_stays() -> Iterator[None]:
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main
