"""The message of a record, with its arguments and without SQL values."""

import logging
import sqlite3
from typing import Any

import pytest

from otel_session import messages

MARK = "zq" + "marker"


def record(message: Any, *args: Any, name: str = "shop") -> logging.LogRecord:
    return logging.LogRecord(name, logging.INFO, "path", 1, message, args, None)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (record("plain"), "plain"),
        (record("%d of %s", 3, "four"), "3 of four"),
        (record("100%"), "100%"),
        (record("%(a)s", {"a": 1}), "1"),
        (record(7), "7"),
        (record("failed: %s", ValueError("no")), "failed: no"),
        (record(ValueError("no")), "no"),
        (record("failed: %s", sqlite3.OperationalError(MARK)), "failed: [redacted]"),
        (record(sqlite3.OperationalError(MARK)), "[redacted]"),
        (record("[%s] %r", "cached", (MARK,), name="sqlalchemy.engine.Engine"), "[%s] %r"),
        (record("no arguments", name="sqlalchemy.engine.Engine"), "no arguments"),
    ],
)
def test_merged(made: logging.LogRecord, said: str) -> None:
    """Arguments go into the message; errors of databases and arguments of loggers that print SQL do not."""
    assert messages.merged(made) == said


def test_arguments_that_do_not_fit() -> None:
    """That the arguments do not fit is for the caller to know."""
    with pytest.raises(TypeError):
        messages.merged(record("%d", "x"))


@pytest.mark.parametrize("name", ["sqlalchemy.engine.Engine", "asyncpg", "django.db.backends", "peewee.sub"])
def test_loggers_that_print_sql(name: str) -> None:
    """Database libraries' loggers are known by name, and no others."""
    assert messages.prints_sql(name)
    assert not messages.prints_sql("x" + name)
    assert not messages.prints_sql("shop")


def test_clean() -> None:
    """A text is cut, and such as UTF-8 can hold; a SQL error that reaches over the cut is still taken out."""
    assert messages.clean("abc", 2) == "ab"
    assert messages.clean("a\ud800", 9) == "a?"
    error = f"(sqlite3.OperationalError) {MARK}\n[SQL: SELECT 1]\n[parameters: ('{MARK}',)]"
    text = f"x {error}\n(Background on this error at: u)"
    for most in range(1, len(text)):
        assert MARK[:4] not in messages.clean(text, most)
