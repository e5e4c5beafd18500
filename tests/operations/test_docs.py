"""The Python blocks of docs/operations.md run as they stand there."""

import pathlib
import re
import sys
from types import SimpleNamespace

import pytest
import structlog
from loguru import logger

from otel_session import perf, track_operation
from tests.operations.conftest import Lines

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_block(block: str, lines: Lines) -> None:
    """With the names that an application has around it."""
    names = {
        "form": {},
        "save": lambda _: SimpleNamespace(id=7),
        "load": list,
        "error": ValueError("no such client"),
        "track_operation": track_operation,
        "perf": perf,
        "structlog": structlog,
        "logger": logger,
        "sys": sys,
    }
    try:
        exec(compile(block, "docs/operations.md", "exec"), names)
    finally:
        structlog.reset_defaults()
        logger.remove()
        logger.configure(patcher=lambda _: None)


def test_lines_of_the_page(lines: Lines) -> None:
    """The messages that it shows are those that are written."""
    shown = re.findall(r'"message":"(\w+)"', PAGE)
    with track_operation("create_client"):
        pass
    assert lines.messages == shown
