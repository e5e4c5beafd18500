"""The words of SQLAlchemy's and of database drivers' errors: which hold values, and how to take those out of a text.

SQLAlchemy writes `(driver.Type) words`, the statement, the parameters and a link; drivers quote values in their own
words ("Key (email)=(…) already exists").
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from otel_session._patterns import lazily

MASK = "[redacted]"
MAX_CHAIN = 20
"""How many causes of an exception are looked at."""
_SHORTEST_WORDS = 8  # of an error; shorter ones could be anything

_DBAPI_NAMES = frozenset({"DatabaseError", "InterfaceError", "PostgresError"})  # PEP 249; asyncpg has its own root
_SQLALCHEMY_DBAPI = "sqlalchemy."  # its asyncio drivers' errors may be of the root class, `Error`

_PART = lazily(
    r"\[(?:SQL|SQL parameters|parameters|raw sql): "
    r"|\[(?:generated in|cached since|no key|caching disabled)[^\]\n]{0,80}\] "
    r"|\(Background on this error at: "
)
_LINK = lazily(r"(?:\n|\\n)?\(Background on this error at: [^)\s]*\)")
_DRIVER_TYPE = lazily(r"(?<![\w.])\((?:[\w<>]{1,80}\.){1,12}[\w<>]{1,80}\)(?= )")
_FRAME = lazily(r"^ *File \"[^\n]*(?:\n    [^\n]*)?", re.MULTILINE)

_TO_THE_END = r".*?(?=\n\n(?:The above exception|During handling)|\Z)"
_BEGIN = r"(?:\b|(?<=\\n))"  # in a repr the line before ends in the characters \n
# What stands for the rest, and where it begins; the first is looked for before the pattern is tried.
_MYSQL = (", ", r"(\((?:1[0-8]\d\d|[34]\d{3}), )\\?[\"'][^\n]*")  # PyMySQL, mysqlclient: (1062, "…")
_DRIVER_WORDS = tuple(
    (needed, tuple((hint, lazily(pattern, re.DOTALL | re.MULTILINE)) for hint, pattern in words))
    for needed, words in (
        (
            ":",
            (
                ("DETAIL: ", rf"({_BEGIN}DETAIL: ){_TO_THE_END}"),
                (":  ", rf"({_BEGIN}(?:HINT|CONTEXT|STATEMENT|QUERY|WHERE):  ){_TO_THE_END}"),
                ("LINE ", rf"({_BEGIN}LINE \d+: ){_TO_THE_END}"),
                ("invalid input ", r"(\binvalid input (?:syntax|value) for [^\n\":]{1,80}: )\\?\"[^\n]*"),
                ("query argument ", r"(\bfor query argument \$\d+: )[^\n]*"),
                ("value out of range: ", r"(\bvalue out of range: )\\?\"[^\n]*"),
                ("literal: ", r"(\bmalformed \w+ literal: )\\?\"[^\n]*"),
                (": syntax error", r"(\bnear )\\?\"[^\n]*"),
                ("unrecognized token: ", r"(\bunrecognized token: )[^\n]*"),
                ("ncorrect ", r"(\b[Ii]ncorrect \w+ value: )[^\n]*"),
            ),
        ),
        ("=", ((")=(", rf"(\bKey \([^()\n]*\)=\(){_TO_THE_END}"),)),
        (
            '"',
            (
                (" is out of range", r"(\bvalue )\\?\"[^\n]*"),
                ("at or near ", r"(\bat or near )\\?\"[^\n]*"),
                _MYSQL,
            ),
        ),
        ("'", (_MYSQL,)),
        ("Duplicate entry ", (("Duplicate entry ", r"(\bDuplicate entry )[^\n]*"),)),
    )
)
"""What drivers say before a value: what a text needs to have, all the more a hint, and the pattern."""

# What a driver says when it names objects only.
_NAMES_ONLY = lazily(
    r"(?:<class '[\w.]+'>: )?(?P<said>"
    r"(UNIQUE|NOT NULL|CHECK|FOREIGN KEY|PRIMARY KEY) constraint failed(: [\w., ]+)?|no such (table|column): [\w.]+|"
    r"(database|database table|database schema) is locked(: \w+)?|attempt to write a readonly database|"
    r"unable to open database file|disk I/O error|database or disk is full|database disk image is malformed|"
    r"(duplicate key value|conflicting key value) violates (unique|exclusion) constraint \"[^\"]+\"|"
    r"null value in column \"[^\"]+\"( of relation \"[^\"]+\")? violates not-null constraint|"
    r"new row for relation \"[^\"]+\" violates check constraint \"[^\"]+\"|"
    r"(insert or update|update or delete) on table \"[^\"]+\" violates foreign key constraint \"[^\"]+\""
    r"( on table \"[^\"]+\")?|"
    r"relation \"[\w.]+\" does not exist|column [\w.]+ does not exist|permission denied for \w+ \w+|"
    r"deadlock detected|could not serialize access due to [\w/ ]+|could not obtain lock on r[\w ]+\"[^\"]+\"|"
    r"canceling statement due to [\w ]+|terminating connection due to [\w ]+|the database system is [\w ]+|"
    r"current transaction is aborted, commands ignored until end of transaction block|"
    r"cannot execute [A-Z ]+ in a read-only transaction|server closed the connection unexpectedly|"
    r"sorry, too many clients already|connection (is|was|already) closed( in the middle of operation)?)"
)
_NAMES_ONLY_NUMBERS = frozenset(  # MySQL, MariaDB: of tables, columns, constraints and hosts
    ["1040", "1048", "1054", "1146", "1205", "1213", "1364", "1451", "1452", "2003", "2006", "2013", "4025"]
)


def is_database_error(error: BaseException) -> bool:
    """Whether an exception comes from a database driver or wraps one, judged by the names PEP 249 gives."""
    kinds = type(error).__mro__
    return any(
        k.__name__ in _DBAPI_NAMES
        or k.__name__ == "StatementError"
        or (k.__name__ == "Error" and k.__module__.startswith(_SQLALCHEMY_DBAPI))
        for k in kinds
    )


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, its cause, that one's cause …: at most 20, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen and len(seen) < MAX_CHAIN:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def names_only(error: BaseException, code: str | None) -> str | None:
    """The first line of a driver's message, if it is known to hold no value."""
    if code in _NAMES_ONLY_NUMBERS:
        return str(error.args[-1]).strip().partition("\n")[0]
    said = _NAMES_ONLY.fullmatch(str(error).strip().partition("\n")[0])
    return said["said"] if said is not None else None


def without_values(text: str) -> str:
    """A text without the statements, parameters and values that errors put there.

    Also without the words of the database error being handled at this moment. Takes time in proportion to the length.
    """
    handled = sys.exc_info()[1]
    if handled is not None:
        text = _without_handled(text, handled)
    if "[" in text or "(Background" in text:
        text = _without_sqlalchemy(text)
    for needed, words in _DRIVER_WORDS:
        if needed in text:  # most texts have few of these
            for hint, pattern in words:
                if hint in text:
                    text = pattern.sub(r"\1" + MASK, text)
    return text


def _without_handled(text: str, handled: BaseException) -> str:
    # Whoever writes an error into a log line mostly does so while handling it: its words are at hand then, in any
    # language and of any driver.
    for error in chain(handled):
        if is_database_error(error):
            for words in _words(error):
                if len(words) >= _SHORTEST_WORDS and words in text:
                    text = text.replace(words, _said(error))
    return text


def _said(error: BaseException) -> str:
    inner = getattr(error, "orig", None) or error
    return f"({type(inner).__module__}.{type(inner).__qualname__}) {names_only(inner, None) or MASK}"


def _words(error: BaseException) -> Iterator[str]:
    for each in (error, getattr(error, "orig", None)):
        if isinstance(each, BaseException):
            said = str(each)
            yield from (said, repr(said)[1:-1], said.strip(), *(a for a in each.args if isinstance(a, str)))


def _without_sqlalchemy(text: str) -> str:
    written, done = [], 0
    part = _PART.search(text)
    while part is not None:
        begins = _message_begins(text, done, part.start())
        link = _LINK.search(text, part.start())
        ends = link.end() if link is not None else len(text)
        if begins is None and part[0].startswith("("):  # a link alone: an error without SQL
            written.append(text[done:ends])
        else:
            written += [text[done : part.start() if begins is None else begins], MASK]
        done = ends
        part = _PART.search(text, done)
    return "".join(written) + text[done:]


def _message_begins(text: str, start: int, end: int) -> int | None:
    """Where the driver's words begin, after its type; None when no driver spoke."""
    for frame in _FRAME.finditer(text, start, end):
        start = frame.end()
    kind = _DRIVER_TYPE.search(text, start, end)
    return kind.end() + 1 if kind is not None else None
