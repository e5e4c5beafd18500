"""The message of a record of the standard `logging`, without SQL values."""

from __future__ import annotations

import logging
from functools import lru_cache

from otel_session import failures, scrub
from otel_session._patterns import lazily

# These print statements with their values.
_SQL_LOGGERS = lazily(
    r"(sqlalchemy\.(engine|orm|pool)|aiosqlite|asyncpg|psycopg|psycopg2|pymysql|aiomysql|asyncmy|databases|peewee|"
    r"django\.db\.backends|oracledb|pyodbc|duckdb)(\.|$)"
)
_SLACK = 8_192  # a SQL error that begins within what is kept ends within this


@lru_cache(1_024)
def prints_sql(logger: str) -> bool:
    """Whether the logger of this name gives statements' values as arguments of its records."""
    return _SQL_LOGGERS.match(logger) is not None


def merged(record: logging.LogRecord) -> str:
    """The message with its arguments, exceptions among them without SQL values.

    Of a logger that prints SQL without its arguments, which are the values.

    Raises:
        Exception: The number of arguments is wrong, or one cannot be shown.
    """
    args = record.args
    if args:
        if prints_sql(record.name):
            return str(record.msg)
        for each in args if isinstance(args, tuple) else ():
            if isinstance(each, BaseException):
                clean = tuple(failures.message(a) if isinstance(a, BaseException) else a for a in args)
                return str(record.msg) % clean
    elif isinstance(record.msg, BaseException):
        return failures.message(record.msg)
    return record.getMessage()


def clean(text: str, max_chars: int) -> str:
    """A text as UTF-8 can hold it, without what must not leave, cut after so many characters."""
    if len(text) > max_chars:
        text = text[: max_chars + _SLACK]
    if not text.isascii():  # a lone surrogate, as in names of files, would cost an exporter its whole batch
        text = text.encode("utf-8", "replace").decode()
    return scrub.text(text)[:max_chars]
