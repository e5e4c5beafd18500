"""What may be said of an exception: its type, the database's code, its message and stack without SQL values.

SQLAlchemy's errors carry `[parameters: …]` and the statement, drivers' messages carry values ("Key (email)=(…)
already exists"). Of a driver's message only what is known to hold no value is kept: names of tables, columns and
constraints, locks and lost connections.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import TracebackType

from otel_session.scrub import MASK, text
from otel_session.sql_errors import MAX_CHAIN, chain, is_database_error, names_only

__all__ = ["is_database_error", "message", "stacktrace", "status_code", "type_name"]

MAX_MESSAGE_CHARS = 4_096
MAX_STACKTRACE_CHARS = 32_768
_MAX_CODE_CHARS = 64
_SQLALCHEMY = "sqlalchemy."


def type_name(error: BaseException) -> str:
    """The exception's qualified type name; builtins without their module (semconv `exception.type`)."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def status_code(error: BaseException) -> str | None:
    """The database's own code of an error: SQLSTATE, a vendor number, SQLite's symbolic name; None if unknown."""
    at = getattr(error, "orig", None) or error
    for _ in range(MAX_CHAIN):  # SQLAlchemy's asyncpg adapter chains the driver's own error
        if at is None or not is_database_error(at):
            break
        code = _own_code(at)
        if code is not None:
            return code
        at = at.__cause__
    return None


def _own_code(error: BaseException) -> str | None:
    first = error.args[0] if error.args else None
    if type(first) is int and first:  # MySQL and MariaDB: the conventions want the number, not the SQLSTATE
        return str(first)
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        code = getattr(error, name, None)
        if isinstance(code, str) and 0 < len(code) <= _MAX_CODE_CHARS:
            return code
    full_code = getattr(first, "full_code", None)  # python-oracledb
    return full_code[:_MAX_CODE_CHARS] if isinstance(full_code, str) else None


def message(error: BaseException) -> str:
    """An exception's message without SQL values, at most 4,096 characters; never raises."""
    try:
        if is_database_error(error):
            return _database_message(error)[:MAX_MESSAGE_CHARS]
        return MASK if _quotes_values(error) else text(str(error))[:MAX_MESSAGE_CHARS]
    except Exception:
        return "(its message could not be read)"


def _database_message(error: BaseException) -> str:
    inner = getattr(error, "orig", None)
    about = f"({type_name(inner)})" if isinstance(inner, BaseException) else ""
    code = status_code(error)
    said = names_only(inner if isinstance(inner, BaseException) else error, code)
    return " ".join(filter(None, (about, code, said or MASK)))


def _quotes_values(error: BaseException) -> bool:
    """Whether it is one of the errors that SQLAlchemy raises about a single value or key."""
    kind = type(error)
    if kind.__module__.startswith(_SQLALCHEMY):
        return kind.__name__ in ("FlushError", "CompileError")
    if not isinstance(error, ValueError | LookupError):
        return False
    at, last = error.__traceback__, None
    while at is not None:
        at, last = at.tb_next, at
    return last is not None and str(last.tb_frame.f_globals.get("__name__")).startswith(_SQLALCHEMY)


def stacktrace(error: BaseException) -> str:
    """The stack trace in Python's form, causes first, every message scrubbed; at most 32,768 characters, the end kept.

    Source lines are in it, local variables are not. Never raises.
    """
    try:
        written = "".join(_chain(error))
    except Exception:
        return f"{type_name(error)}: (its stack could not be read)"
    return written if len(written) <= MAX_STACKTRACE_CHARS else "…" + written[1 - MAX_STACKTRACE_CHARS :]


def _chain(error: BaseException) -> Iterator[str]:
    links = list(chain(error))
    # What a StatementError wraps may be anything, a converter's ValueError that quotes the value for one.
    wrapped = {id(getattr(link, "orig", None)) for link in links if is_database_error(link)}
    for place in range(len(links) - 1, -1, -1):
        link = links[place]
        yield from _one(link, link.__traceback__, masked=id(link) in wrapped and not is_database_error(link))
        if place:
            if links[place - 1].__cause__ is link:
                yield "\nThe above exception was the direct cause of the following exception:\n\n"
            else:
                yield "\nDuring handling of the above exception, another exception occurred:\n\n"


def _one(error: BaseException, trace: TracebackType | None, *, masked: bool) -> Iterator[str]:
    if trace is not None:
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(trace)
    said = MASK if masked else message(error)
    yield f"{type_name(error)}: {said}\n" if said else f"{type_name(error)}\n"
    for inner in getattr(error, "exceptions", ()) if type(error).__name__.endswith("ExceptionGroup") else ():
        yield f"  | {type_name(inner)}: {message(inner)}\n"
