"""What goes to the database, seen apart from the instrumentation: by sqlite3's own cursors, wherever they are made.

A dialect is asked too, for the cursors that are not sqlite3's (tests bring drivers of their own making). What is no
dialect's doing is not an instrumentation's to see: it is counted by the place that did it.
"""

import pathlib
import sqlite3
import sys
import threading
from collections import Counter
from types import FrameType
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

Statement = tuple[str, int]
"""Its text as the driver got it, and how many sets of parameters came with it."""

_EXECUTING = {"do_execute", "do_executemany", "do_execute_no_params"}


class Witness:
    """Sees every statement of the process.

    Attributes:
        sent: What dialects sent since the last `take`, and which an instrumentation is to see.
        all_sent: All that was sent since then.
        raw: How often somebody asked a cursor without a dialect's `do_execute`, by place.
        without_context: Calls of `do_execute` that belong to no execution of SQLAlchemy's.
    """

    def __init__(self) -> None:
        self.sent: Counter[Statement] = Counter()
        self.all_sent: Counter[Statement] = Counter()
        self.raw: Counter[str] = Counter()
        self.without_context = 0
        self._here = threading.local()

    def take(self) -> tuple[Counter[Statement], Counter[Statement]]:
        """`sent` and `all_sent` until now; both begin anew."""
        found = self.sent, self.all_sent
        self.sent, self.all_sent = Counter(), Counter()
        return found

    def asked(self, statement: Any, sets: int, caller: FrameType) -> None:
        """A cursor of sqlite3's was asked to execute something, by this frame."""
        self.all_sent[str(statement), sets] += 1
        code = caller.f_code
        if code.co_name not in _EXECUTING or not caller.f_globals["__name__"].startswith("sqlalchemy."):
            self.raw[f"{_short(code.co_filename)}:{code.co_name}"] += 1
        else:
            self._here.seen = True
            self.dialect_asked(statement, sets, caller.f_locals.get("context"))

    def dialect_asked(self, statement: Any, sets: int, execution: Any) -> None:
        """A dialect asked a cursor."""
        if execution is None:
            self.without_context += 1
        else:
            self.sent[str(statement), sets] += 1

    def install(self) -> None:
        """See everything from now on; there is no way back."""
        self._replace_connect()
        for name in _EXECUTING:
            self._wrap(name)

    def _replace_connect(self) -> None:
        witness = self

        class Cursor(sqlite3.Cursor):
            def execute(self, sql: Any, *args: Any) -> Any:
                witness.asked(sql, 1, sys._getframe(1))
                return super().execute(sql, *args)

            def executemany(self, sql: Any, sets: Any) -> Any:
                witness.asked(sql, _size(sets), sys._getframe(1))
                return super().executemany(sql, sets)

        class Connection(sqlite3.Connection):
            def cursor(self, factory: Any = Cursor) -> Any:
                return super().cursor(factory)

        original = sqlite3.connect

        def connect(*args: Any, **kwargs: Any) -> Any:
            if len(args) < 6:  # the sixth is the class of connections
                kwargs.setdefault("factory", Connection)
            return original(*args, **kwargs)

        sqlite3.connect = sqlite3.dbapi2.connect = connect  # type: ignore[assignment]

    def _wrap(self, name: str) -> None:
        original = getattr(DefaultDialect, name)

        def executing(dialect: Any, cursor: Any, statement: Any, *args: Any, **kwargs: Any) -> Any:
            self._here.seen = False
            try:
                return original(dialect, cursor, statement, *args, **kwargs)
            finally:
                if not self._here.seen:  # it is no cursor of sqlite3's, nor wrapped around one
                    sets = _size(args[0]) if name == "do_executemany" else 1
                    given = len(args) == original.__code__.co_argcount - 3
                    self.all_sent[str(statement), sets] += 1
                    self.dialect_asked(statement, sets, kwargs.get("context", args[-1] if given else None))

        executing.__name__ = name
        setattr(DefaultDialect, name, executing)


def _size(sets: Any) -> int:
    return len(sets) if hasattr(sets, "__len__") else 1


def _short(path: str) -> str:
    parts = pathlib.Path(path).parts
    for top in ("sqlalchemy", "test"):
        if top in parts:
            return "/".join(parts[parts.index(top) :])
    return parts[-1]
