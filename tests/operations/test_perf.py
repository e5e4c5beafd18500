"""`PERF:` lines."""

import asyncio
import logging
import re
import time
from collections.abc import Iterator

import pytest

from otel_session import perf
from tests.operations.conftest import Lines

LINE = re.compile(r"PERF: get_current_positions took \d+\.\d\ds")


def test_line(lines: Lines) -> None:
    """The exact line of feature A2, in seconds to two decimals, at INFO on `otel_session.perf`."""
    with perf("get_current_positions"):
        time.sleep(0.15)
    (record,) = lines.records
    assert LINE.fullmatch(record.getMessage())
    assert 0.15 <= float(record.getMessage().split()[-1].rstrip("s")) < 5
    assert (record.name, record.levelname) == ("otel_session.perf", "INFO")
    assert vars(record)["operation"] == "get_current_positions"
    assert 150 <= vars(record)["duration_ms"] < 5_000
    assert record.funcName == "test_line"


def test_kinds(lines: Lines) -> None:
    """Functions, coroutines, generators and asynchronous blocks; nested ones each have their line."""

    @perf("get_current_positions")
    def plain() -> int:
        return 1

    @perf("get_current_positions")
    async def coroutine() -> int:
        async with perf("get_current_positions"):
            return 2

    @perf("get_current_positions")
    def generator() -> Iterator[int]:
        yield 3

    assert (plain(), asyncio.run(coroutine()), list(generator())) == (1, 2, [3])
    assert len(lines.messages) == 4
    assert all(LINE.fullmatch(message) for message in lines.messages)


def test_failing_code(lines: Lines) -> None:
    """The line is written whatever happens, and the exception goes on."""
    with pytest.raises(KeyError, match="gone"), perf("get_current_positions"):
        raise KeyError("gone")
    assert LINE.fullmatch(lines.messages[0])


def test_a_logger_of_choice(lines: Lines) -> None:
    """The line goes to the logger given; where INFO is off there is none."""
    with perf("one", logger="portfolio"), perf("two", logger=logging.getLogger("portfolio")):
        pass
    assert {record.name for record in lines.records} == {"portfolio"}
    logging.getLogger("portfolio").setLevel(logging.WARNING)
    try:
        with perf("three", logger="portfolio"):
            pass
    finally:
        logging.getLogger("portfolio").setLevel(logging.NOTSET)
    assert len(lines.records) == 2


def test_without_a_name() -> None:
    """A decorator without a name says how it is written."""
    with pytest.raises(TypeError, match=r'@perf\("get_current_positions"\)'):
        perf(print)  # type: ignore[arg-type]
