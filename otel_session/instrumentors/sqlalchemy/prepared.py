"""What does not change from one execution of a statement to the next, worked out once for each engine and statement."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from otel_session import attributes as names
from otel_session.instrumentors.sqlalchemy.statements import MAX_TEXT_CHARS, read
from otel_session.instrumentors.sqlalchemy.targets import Attributes, target_of
from otel_session.instruments import Recorder
from otel_session.wire.entries import Part

_STATEMENTS_MOST = 500
_read = lru_cache(_STATEMENTS_MOST)(read)  # for all engines: tests, tenants and migrations make many that send the same
_BATCH = "BATCH "  # semconv: before the operation and the summary of a batch


class Prepared:
    """A statement's static part: the span's name and attributes, the metric's, and where they are counted."""

    __slots__ = ("encoded", "metric", "name", "part", "series", "span")

    def __init__(self, name: str, span: Attributes, metric: Attributes) -> None:
        self.name, self.span, self.metric = name, span, metric
        self.series: Recorder | None = None
        self.encoded: bytes | None = None
        self.part: Part | None = None


class Target:
    """One engine's static part, and its statements' (at most 1,000, in two generations; the older is dropped whole).

    Hot loops may look into `young` themselves, by a single statement's text, before they ask `prepared`.
    """

    __slots__ = ("_attributes", "_old", "_others", "young")

    def __init__(self) -> None:
        self._attributes: Attributes | None = None
        self._others: dict[str, Prepared] = {}
        self.young: dict[Any, Prepared] = {}
        self._old: dict[Any, Prepared] = {}

    def prepared(self, statement: str, execution: Any, *, batch: bool = False) -> Prepared:
        """The static part of a statement, made at its first sight."""
        key: Any = statement
        if batch or len(statement) > MAX_TEXT_CHARS:  # of a long one, its hash is kept instead of itself
            key = (batch, statement if len(statement) <= MAX_TEXT_CHARS else (len(statement), hash(statement)))
        found = self.young.get(key)
        if found is not None:
            return found
        found = self._old.get(key) or self._prepare(statement, execution, batch)
        if len(self.young) >= _STATEMENTS_MOST:
            self._old, self.young = self.young, {}
        self.young[key] = found
        return found

    def ending(self, name: str) -> Prepared | None:
        """The static part of a COMMIT or ROLLBACK; None as long as no statement has told where the database is."""
        return self._others.get(name) or self._named(name, {names.DB_OPERATION_NAME: name})

    def connecting(self) -> Prepared | None:
        """The static part of a new connection; None as above."""
        return self._named(names.SPAN_CONNECT, {})

    def _named(self, name: str, more: Attributes) -> Prepared | None:
        found = self._others.get(name)
        if found is None and self._attributes is not None:
            about = {**self._attributes, **more}
            found = self._others[name] = Prepared(name, about, about)
        return found

    def know(self, execution: Any) -> Attributes:
        """What is said of the database with each statement, worked out at the first one."""
        if self._attributes is None:
            self._attributes = target_of(execution.engine, execution.root_connection.connection)
        return self._attributes

    def _prepare(self, statement: str, execution: Any, batch: bool) -> Prepared:
        static = self.know(execution)
        look = _read if len(statement) <= MAX_TEXT_CHARS else read
        known = look(statement, str(static[names.DB_SYSTEM_NAME]))
        prefix = _BATCH if batch else ""
        metric: Attributes = dict(static)
        if known.operation:
            metric[names.DB_OPERATION_NAME] = prefix + known.operation
        if len(known.tables) == 1:
            metric[names.DB_COLLECTION_NAME] = known.tables[0]
        if known.summary:
            metric[names.DB_QUERY_SUMMARY] = prefix + known.summary
        name = metric.get(names.DB_QUERY_SUMMARY) or static.get(names.DB_NAMESPACE) or static[names.DB_SYSTEM_NAME]
        return Prepared(str(name), {**metric, names.DB_QUERY_TEXT: known.text}, metric)
