"""What may be said of an exception: its type, the database's code, its message and stack without SQL values.

SQLAlchemy's errors carry `[parameters: …]` and the statement, drivers' messages carry values ("Key (email)=(…)
already exists"). Of a driver's message only what is known to hold no value is kept: names of tables, columns and
constraints, locks and lost connections.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from types import TracebackType

from otel_session.scrub import MASK, text

MAX_MESSAGE_CHARS = 4_096
MAX_STACKTRACE_CHARS = 32_768
_MAX_CHAIN = 20

_DBAPI_NAMES = frozenset({"DatabaseError", "InterfaceError", "PostgresError"})  # PEP 249; asyncpg has its own root

# SQLSTATE classes whose first line names objects only: connections, integrity, transactions, resources, operator
# intervention, system; and of class 42 the unknown or doubled names (PostgreSQL, appendix A).
_NAMES_ONLY_STATES = re.compile(r"(08|23|25|2D|3B|40|53|55|57|58)\w{3}|42(P0[1-7]|703|883|704|701|702|725|710|501)")
_NAMES_ONLY_NUMBERS = frozenset({"1040", "1054", "1146", "1205", "1213", "2003", "2006", "2013"})  # MySQL, MariaDB
_NAMES_ONLY_SQLITE = re.compile(
    r"(UNIQUE|NOT NULL|CHECK|FOREIGN KEY|PRIMARY KEY) constraint failed(: [\w., ]+)?|no such (table|column): [\w.]+|"
    r"(database|database table|database schema) is locked(: \w+)?|attempt to write a readonly database|"
    r"unable to open database file|disk I/O error|database or disk is full|database disk image is malformed"
)


def is_database_error(error: BaseException) -> bool:
    """Whether an exception comes from a database driver or wraps one, judged by the names PEP 249 gives."""
    return any(c.__name__ in _DBAPI_NAMES or c.__name__ == "StatementError" for c in type(error).__mro__)


def type_name(error: BaseException) -> str:
    """The exception's qualified type name; builtins without their module (semconv `exception.type`)."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def status_code(error: BaseException) -> str | None:
    """The database's own code of an error: SQLSTATE, a vendor number, SQLite's symbolic name; None if unknown."""
    error = getattr(error, "orig", None) or error
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        code = getattr(error, name, None)
        if isinstance(code, str) and len(code) <= 64:
            return code
    first = error.args[0] if error.args else None
    full_code = getattr(first, "full_code", None)  # python-oracledb
    if isinstance(full_code, str):
        return full_code[:64]
    cause = error.__cause__  # SQLAlchemy's asyncpg adapter chains the driver's own error
    if isinstance(first, int) and not isinstance(first, bool) and is_database_error(error):
        return str(first)
    return status_code(cause) if cause is not None and is_database_error(cause) else None


def message(error: BaseException) -> str:
    """An exception's message without SQL values; never raises."""
    try:
        if is_database_error(error):
            inner = getattr(error, "orig", None)
            about = f"({type_name(inner)}) " if isinstance(inner, BaseException) else ""
            code = status_code(error)
            return f"{about}{_names_only(inner or error, code) or ' '.join(filter(None, (code, MASK)))}"
        return text(str(error))[:MAX_MESSAGE_CHARS]
    except Exception:
        return "(its message could not be read)"


def _names_only(error: BaseException, code: str | None) -> str | None:
    """The driver's message, if what it says is known to hold no value."""
    said = str(error.args[-1] if code in _NAMES_ONLY_NUMBERS else error).strip().partition("\n")[0]
    if _NAMES_ONLY_SQLITE.fullmatch(said) or code in _NAMES_ONLY_NUMBERS:
        return said[:MAX_MESSAGE_CHARS]
    if code is not None and _NAMES_ONLY_STATES.fullmatch(code):
        return f"{code} {said}"[:MAX_MESSAGE_CHARS]
    return None


def stacktrace(error: BaseException) -> str:
    """The stack trace in Python's form, causes first, every message scrubbed; at most 32,768 characters, the end kept.

    Source lines are in it, local variables are not.
    """
    written = "".join(_chain(error))
    return written if len(written) <= MAX_STACKTRACE_CHARS else "…" + written[-MAX_STACKTRACE_CHARS:]


def _chain(error: BaseException) -> Iterator[str]:
    links: list[tuple[str, BaseException]] = []
    seen: set[int] = set()
    join, at = "", error
    while id(at) not in seen and len(links) < _MAX_CHAIN:
        seen.add(id(at))
        links.append((join, at))
        if at.__cause__ is not None:
            join, at = "\nThe above exception was the direct cause of the following exception:\n\n", at.__cause__
        elif at.__context__ is not None and not at.__suppress_context__:
            join, at = "\nDuring handling of the above exception, another exception occurred:\n\n", at.__context__
        else:
            break
    for after, link in reversed(links):
        yield from _one(link, link.__traceback__)
        yield after


def _one(error: BaseException, trace: TracebackType | None) -> Iterator[str]:
    if trace is not None:
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(trace)
    said = message(error)
    yield f"{type_name(error)}: {said}\n" if said else f"{type_name(error)}\n"
    for inner in getattr(error, "exceptions", ()) if type(error).__name__.endswith("ExceptionGroup") else ():
        yield f"  | {type_name(inner)}: {message(inner)}\n"
