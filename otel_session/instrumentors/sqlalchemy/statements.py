"""SQL text -> what may be said of it: operation, tables, a summary, and the text without literal values.

Semantic conventions, database spans: `db.operation.name`, `db.collection.name`, `db.query.summary`,
`db.query.text`. One pass of one regular expression; the result is cached by statement.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_TEXT_CHARS = 8_192
"""Longer statements are cut in `db.query.text`, and read only this far for their tables."""
_MAX_SUMMARY_CHARS = 255
_MAX_TABLES = 6

_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<string>  (?:\b[EeNnBbXx]|\b[Uu]&)? '(?:[^']|'')*(?:'|\Z) )
    | (?P<dollar>  \$(?P<tag>[A-Za-z_]\w*)?\$ .*? (?:\$(?P=tag)?\$|\Z) )
    | (?P<quoted>  "(?:[^"]|"")*(?:"|\Z) | `(?:[^`]|``)*(?:`|\Z) | \[[A-Za-z_][\w $.]*\] )
    | (?P<bound>   \$\d+ | %\(\w+\)s | %s | (?<!:):[A-Za-z_]\w* | :\d+ | \? | @[A-Za-z_]\w* )
    | (?P<number>  (?<![\w$])(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+) )
    | (?P<word>    [^\W\d][\w$]* )
    | (?P<mark>    [(),.;] )
    """,
    re.VERBOSE | re.DOTALL,
)

# A table's name follows these; after FROM and UPDATE more may follow a comma.
_BEFORE_TABLE = frozenset({"FROM", "JOIN", "INTO", "UPDATE", "TABLE"})
_NOT_A_TABLE = frozenset(
    {
        "SELECT",
        "VALUES",
        "SET",
        "WHERE",
        "ONLY",
        "LATERAL",
        "IF",
        "NOT",
        "EXISTS",
        "UNNEST",
        "DUAL",
        "TABLE",
        "AS",
        "OF",
    }
)
_SKIPPED_BEFORE_NAME = frozenset({"ONLY", "LATERAL", "IF", "NOT", "EXISTS", "TABLE", "OR", "IGNORE", "INTO", "REPLACE"})
_BEFORE_VALUE = frozenset({"LIKE", "GLOB", "MATCH", "REGEXP", "BETWEEN", "AND", "THEN", "ELSE", "IN", "IS", "VALUES"})
_VERBS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"})
_DDL = frozenset({"CREATE", "ALTER", "DROP", "TRUNCATE"})


@dataclass(frozen=True, slots=True)
class Statement:
    """What telemetry says of one SQL text.

    Attributes:
        operation: First keyword in capitals (`SELECT`), the main one after a WITH clause; empty for an empty text.
        tables: Names in order of appearance, at most 6, without quotes; CTE names left out.
        summary: `SELECT deal owner`: the operation and the tables, at most 255 characters; names the span.
        text: The statement with every literal replaced by `?` and comments left out, at most 8,192 characters.
    """

    operation: str
    tables: tuple[str, ...]
    summary: str
    text: str


def read(sql: str, system: str = "") -> Statement:
    """Read a statement.

    Whether a backslash escapes a quote depends on the server's settings, so a statement is read only up to the first
    escaped quote in it: better a cut text than a literal taken for SQL.

    Args:
        sql: The text as the driver gets it.
        system: `db.system.name`. On MySQL and MariaDB `"…"` is a string, on SQLite it may be one, elsewhere a name.
    """
    reader = _Reader(system)
    known = re.split(r"\\['\"]", sql[: MAX_TEXT_CHARS * 2], maxsplit=1)
    clean = _TOKEN.sub(reader.token, known[0]).strip()
    if len(known) > 1:
        clean += " …"
    tables = tuple(t for t in reader.tables if t not in reader.ctes)[:_MAX_TABLES]
    summary = " ".join((reader.operation, *reader.kind, *tables))[:_MAX_SUMMARY_CHARS]
    if len(clean) > MAX_TEXT_CHARS:
        clean = clean[: MAX_TEXT_CHARS - 1] + "…"
    return Statement(reader.operation, tables, summary, clean)


class _Reader:
    """Walks over the tokens, keeps what is known so far, and gives back what each token becomes in the clean text."""

    def __init__(self, system: str) -> None:
        self._strings = system in ("mysql", "mariadb")
        self._maybe_strings = system == "sqlite"
        self.operation = ""
        self.kind: tuple[str, ...] = ()
        self.tables: list[str] = []
        self.ctes: set[str] = set()
        self._expects = ""  # "table", "cte" or "kind": what the next name is
        self._open_name = False  # the last table name may go on after a dot
        self._list = False  # a comma brings another table
        self._in_with = False
        self._word_before = ""
        self._in_values = False
        self._subqueries = [True]  # for each open parenthesis: whether a SELECT stands in it

    def token(self, match: re.Match[str]) -> str:
        kind = match.lastgroup
        raw = match[0]
        if kind == "tag":
            kind = "dollar"
        if kind == "comment":
            return " "
        if kind in ("string", "dollar", "number"):
            self._name_over()
            return "?"
        if kind == "quoted":
            if raw[0] == '"' and self._is_string(match):
                self._name_over()
                return "?"
            self._name(raw[1:-1])
        elif kind == "word":
            self._word(raw)
        elif kind == "mark":
            self._mark(raw)
        return raw

    def _is_string(self, match: re.Match[str]) -> bool:
        if self._strings or not self._maybe_strings:
            return self._strings
        before, after = match.string[: match.start()].rstrip()[-1:], match.string[match.end() : match.end() + 1]
        return after != "." and (before in "=<>|" or self._in_values or self._word_before in _BEFORE_VALUE)

    def _word(self, raw: str) -> None:
        upper = raw.upper()
        self._word_before = upper
        self._in_values = self._in_values or upper == "VALUES"
        if upper == "SELECT":
            self._subqueries[-1] = True
        if not self.operation:
            self._first(upper)
        elif self._in_with and self._depth == 0 and upper in _VERBS:
            self.operation, self._in_with = upper, False
            self._expects = "table" if upper == "UPDATE" else ""
        elif self._expects == "kind":
            self._ddl_kind(upper)
        elif upper in _BEFORE_TABLE and self._brings_table(upper):
            self._expects, self._list = "table", upper == "FROM"
        elif self._expects == "table" and upper in _SKIPPED_BEFORE_NAME:
            pass
        elif self._expects == "table" and upper in _NOT_A_TABLE:
            self._expects = ""
        else:
            self._name(raw)

    @property
    def _depth(self) -> int:
        return len(self._subqueries) - 1

    def _brings_table(self, upper: str) -> bool:
        if upper == "UPDATE":  # SELECT … FOR UPDATE, ON CONFLICT DO UPDATE
            return self.operation not in ("SELECT", "INSERT")
        return self._subqueries[-1]  # not in EXTRACT(year FROM x)

    def _first(self, upper: str) -> None:
        self.operation = upper
        if upper == "WITH":
            self._in_with, self._expects = True, "cte"
        elif upper in ("UPDATE", "TRUNCATE"):
            self._expects = "table"
        elif upper in _DDL:
            self._expects = "kind"

    def _ddl_kind(self, upper: str) -> None:
        if upper in ("TABLE", "INDEX", "VIEW", "SCHEMA", "SEQUENCE", "TYPE", "DATABASE"):
            self.kind = (upper,)
            self._expects = "" if upper == "INDEX" else "table"
        elif upper == "ON":
            self._expects = "table"

    def _name(self, name: str) -> None:
        if self._expects == "table":
            if self._open_name and self.tables:
                self.tables[-1] = f"{self.tables[-1]}.{name}"
            elif name not in self.tables:
                self.tables.append(name)
            self._expects, self._open_name = "", True
        elif self._expects == "cte":
            if name.upper() != "RECURSIVE":
                self.ctes.add(name)
                self._expects = ""
        elif self.kind == ("INDEX",) and name.upper() == "ON":
            self._expects = "table"
        else:
            self._open_name = False

    def _mark(self, mark: str) -> None:
        if mark == "." and self._open_name:
            self._expects = "table"
            return
        self._open_name = False
        self._word_before = self._word_before if mark == "(" else ""
        if mark == "(":
            self._subqueries.append(False)
            self._expects = ""
        elif mark == ")":
            if self._depth:
                self._subqueries.pop()
            self._list = False
        elif mark == ",":
            if self._in_with and self._depth == 0:
                self._expects = "cte"
            elif self._list and self._depth == 0:
                self._expects = "table"

    def _name_over(self) -> None:
        self._open_name = False
