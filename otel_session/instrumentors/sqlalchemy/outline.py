"""The tokens of a statement -> its operations and the tables they work on."""

from __future__ import annotations

_MAX_NAME_CHARS = 128
_MAX_OPERATION_CHARS = 32
_MAX_PARTS = 24
_VERBS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"})
_DDL = frozenset({"CREATE", "ALTER", "DROP"})
_KINDS = {
    **dict.fromkeys(("TABLE", "VIEW"), "table"),
    **dict.fromkeys(("SCHEMA", "SEQUENCE", "TYPE", "DATABASE"), "target"),
    **dict.fromkeys(("INDEX", "FUNCTION", "PROCEDURE", "TRIGGER", "EXTENSION", "USER", "ROLE", "DOMAIN"), ""),
}
_TABLE_FOLLOWS = frozenset({"UPDATE", "MERGE", "TRUNCATE", "COPY", "LOCK", "ANALYZE", "DESCRIBE", "DESC", "TABLE"})
_TARGET_FOLLOWS = frozenset({"CALL", "EXEC", "PRAGMA"})
_SKIPPED_BEFORE_NAME = frozenset({"ONLY", "LATERAL", "IF", "NOT", "EXISTS", "TABLE", "TABLES", "INTO", "IGNORE"})
_NOT_A_TABLE = frozenset({"SELECT", "VALUES", "SET", "WHERE", "UNNEST", "DUAL", "AS", "OF", "OUTFILE", "DUMPFILE"})
_LIST_OVER = frozenset(
    ("WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "UNION", "INTERSECT", "EXCEPT", "WINDOW", "FETCH", "OFFSET", "FOR")
) | {"RETURNING", "SET", "VALUES"}
_BRINGS = {  # in statements of these operations the word brings a table
    "FROM": frozenset({"SELECT", "DELETE", "UPDATE", "SHOW"}),
    "JOIN": frozenset({"SELECT", "DELETE", "UPDATE"}),
    "STRAIGHT_JOIN": frozenset({"SELECT", "DELETE", "UPDATE"}),
    "INTO": frozenset({"INSERT", "REPLACE", "MERGE", "SELECT"}),
    "USING": frozenset({"MERGE", "DELETE"}),
    "TABLE": frozenset({"SHOW"}),
}
_NAMES_VALUES = frozenset({"SET", "PRAGMA"})


class _Level:
    """What is known between two parentheses."""

    __slots__ = ("begun", "clause", "columns", "listing", "verb", "withs")

    def __init__(self, verb: str = "", *, columns: bool = False) -> None:
        self.verb = verb
        self.columns = columns  # the column list of an INSERT or CREATE
        self.begun = self.withs = self.listing = False  # withs: in a WITH clause; listing: a comma brings a table
        self.clause = ""


class Outline:
    """Takes the tokens one after another.

    Attributes:
        operation: First keyword in capitals, the main one after a WITH clause.
    """

    def __init__(self) -> None:
        self.operation = ""
        self._groups: list[list[str]] = [[]]  # an operation and what it works on
        self._tables: list[str] = []
        self._ctes: set[str] = set()
        self._levels = [_Level()]
        self._expects = ""  # "table", "target", "dotted", "cte" or "kind": what the next name is
        self._open_name = ""  # "table" or "target": the last name was one and may go on after a dot
        self._before = ""  # the last word in capitals, or the last mark
        self._hides = False  # words are values here: SET x = word

    @property
    def tables(self) -> list[str]:
        """Names of tables in order of appearance, each once."""
        return [t for t in dict.fromkeys(self._tables) if t not in self._ctes]

    @property
    def parts(self) -> list[str]:
        """The words of the summary, at most 24: operations, each with what it works on.

        Names of common table expressions are left out; where nothing else has a name, they are what it works on.
        """
        if self._ctes and not self.tables:
            return [self.operation, *sorted(self._ctes)][:_MAX_PARTS]
        return [p for g in self._groups for p in dict.fromkeys(g) if p not in self._ctes][:_MAX_PARTS]

    def word(self, raw: str) -> bool:
        """Take an unquoted word; whether it may be shown."""
        level, upper = self._levels[-1], raw.upper()
        before, self._before = self._before, upper
        starts = not level.begun or level.verb == "EXPLAIN" or (before == "AS" and level.verb not in _VERBS)
        level.begun = True
        if self._hides:
            return False
        if self._expects == "dotted":
            self._take(raw)
        elif not self.operation:
            self._first(level, upper)
        elif upper == "SELECT" or (upper in _VERBS and (starts or level.withs) and self._is_verb(upper)):
            self._verb(level, upper)
        elif upper == "WITH" and (starts or level.verb == "INSERT"):
            level.withs, self._expects = True, "cte"
        elif self._expects == "kind":
            self._kind(upper)
        else:
            self._inside(level, raw, upper, before)
        return True

    def name(self, name: str) -> None:
        """Take a quoted name, its quotes taken off."""
        self._levels[-1].begun = True
        self._before = ""
        self._take(name)

    def value(self) -> None:
        """Take a literal or a placeholder."""
        self._before = self._open_name = ""
        if self._expects != "kind":
            self._expects = ""

    def mark(self, mark: str) -> None:
        """Take one of `( ) , . ; =`."""
        self._before = mark
        if mark == "." and self._open_name:
            self._expects = "dotted"
            return
        level = self._levels[-1]
        if mark == "(":
            self._opens(level)
        elif mark == ")":
            if len(self._levels) > 1:
                self._levels.pop()
        elif mark == ";":
            self._levels, self._expects, self._hides = [_Level()], "", False
        elif mark == ",":
            self._expects = "cte" if level.withs else "table" if level.listing else self._expects
        if mark in "=(" and self.operation in _NAMES_VALUES:
            self._hides = True
        self._open_name = ""

    def takes_name(self, after: str) -> bool:
        """Whether `"…"` here can only be a name, where the database also takes it for a string.

        Args:
            after: The next characters.
        """
        if self._expects in ("table", "dotted", "cte") or self._before in (".", "AS") or after[:1] == ".":
            return not self._hides
        level = self._levels[-1]
        if self._before in ("(", ",") and level.columns:
            return True
        return self._before in ("SET", ",") and level.clause == "SET" and after.lstrip()[:1] == "="

    def _first(self, level: _Level, upper: str) -> None:
        if upper in _VERBS:
            self._verb(level, upper)
            return
        self.operation = level.verb = upper[:_MAX_OPERATION_CHARS] if upper.isascii() else "OTHER"
        if upper == "WITH":
            level.withs, self._expects = True, "cte"
            return
        self._groups[-1].append(self.operation)
        if upper in _DDL:
            self._expects = "kind"
        elif upper in _TABLE_FOLLOWS:
            self._expects, level.listing = "table", True
        elif upper in _TARGET_FOLLOWS:
            self._expects = "target"

    def _is_verb(self, upper: str) -> bool:
        return upper != "REPLACE" or len(self._levels) == 1  # else it is the function

    def _verb(self, level: _Level, upper: str) -> None:
        if not self.operation or (self.operation == "WITH" and len(self._levels) == 1):
            self.operation = upper
        self._groups.append([upper])
        level.verb = level.clause = upper
        level.withs, level.listing = False, upper == "UPDATE"
        self._expects, self._open_name = "table" if upper in _TABLE_FOLLOWS else "", ""

    def _inside(self, level: _Level, raw: str, upper: str, before: str) -> None:
        if upper in _BRINGS and level.verb in _BRINGS[upper] and before != "DISTINCT":
            self._expects, self._open_name, level.clause = "table", "", upper
            level.listing = level.listing or upper == "FROM"
        elif self._expects == "table" and upper in _SKIPPED_BEFORE_NAME:
            pass
        elif upper in _LIST_OVER:
            level.listing, level.clause, self._expects, self._open_name = False, upper, "", ""
        elif self._expects == "table" and upper in _NOT_A_TABLE:
            self._expects = ""
        elif upper == "TO" and self.operation == "SET":
            self._hides = True
        elif upper == "ON" and self.operation in _DDL and self._groups[-1][-1] == "INDEX":
            self._expects = "table"
        else:
            self._take(raw)

    def _kind(self, upper: str) -> None:
        if upper in _KINDS:
            self._groups[-1].append(upper)
            self._expects = _KINDS[upper]
            self._levels[-1].listing = self.operation == "DROP" and self._expects == "table"

    def _take(self, name: str) -> None:
        expects, name = self._expects, name[:_MAX_NAME_CHARS]
        if expects in ("table", "target"):
            self._groups[-1].append(name)
            if expects == "table":
                self._tables.append(name)
            self._expects, self._open_name = "", expects
        elif expects == "dotted":
            self._groups[-1][-1] += "." + name
            if self._open_name == "table":
                self._tables[-1] += "." + name
            self._expects = ""
        elif expects == "cte":
            if name.upper() != "RECURSIVE":
                self._ctes.add(name)
                self._expects = ""
        else:
            self._open_name = ""

    def _opens(self, level: _Level) -> None:
        inner = _Level(columns=bool(self._open_name) and level.verb in ("INSERT", "REPLACE", "CREATE"))
        if self._expects == "table":  # FROM (a JOIN b), FROM (SELECT …)
            inner.verb, inner.listing, inner.clause = level.verb, level.listing, level.clause
        elif self._expects != "kind":
            self._expects = ""
        if self._open_name == "table" and level.clause in ("FROM", "JOIN"):  # a function's call
            self._groups[-1].pop()
            self._tables.pop()
        self._levels.append(inner)
