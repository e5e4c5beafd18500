"""What our telemetry says in the truth test, read from what would be exported; nothing is kept of single spans."""

import contextlib
import gc
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

import otel_session
from otel_session import testing
from otel_session.instrumentors.sqlalchemy import SQLAlchemyInstrumentor
from otel_session.instrumentors.sqlalchemy.units import KEY
from otel_session.wire.encoders import Branch, EncodingSpanProcessor
from tests.lanes import KeptLane

UNIT = "sqlalchemy.unit_of_work"
_ERROR = 2
_TEXT = "db.query.text"
_MARKED = (SessionTransaction, Connection, PoolProxiedConnection, ConnectionPoolEntry)


class _Ended(SpanProcessor):
    """Somebody else's processor: with it every span is one of the SDK's."""

    def __init__(self) -> None:
        self.ended: deque[ReadableSpan] = deque()

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


class _Log(logging.Handler):
    """Log lines of ours and of OpenTelemetry's."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(("otel_session", "opentelemetry")):
            self.said.append(record.getMessage())


class Seen:
    """What was told so far.

    Attributes:
        statements: Those that succeeded, by text; `failed` likewise.
        spans: Units of work by outcome; `errors` those that failed, by type.
        log: What ought not to be said.
    """

    def __init__(self, telemetry: testing.Captured, provider: TracerProvider, log: list[str]) -> None:
        self.telemetry, self.provider, self.log = telemetry, provider, log
        self.statements: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.spans: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.lane, self.ended = KeptLane(), _Ended()

    def read(self) -> None:
        """Take in the spans that ended."""
        while self.lane.put_in:
            span = Span.FromString(self.lane.put_in.popleft())
            told = {a.key: a.value.string_value for a in span.attributes}
            self._count(span.name, told, span.status.code == _ERROR)
        while self.ended.ended:
            ended = self.ended.ended.popleft()
            self._count(ended.name, dict(ended.attributes or {}), ended.status.status_code.value == _ERROR)

    def _count(self, name: str, told: dict[str, Any], failed: bool) -> None:
        if name == UNIT:
            self.spans[told[f"{UNIT}.outcome"]] += 1
            if failed:
                self.errors[told["error.type"]] += 1
        elif _TEXT in told:
            (self.failed if failed else self.statements)[told[_TEXT]] += 1

    def metric(self, name: str, by: str = "") -> Counter[str]:
        """A counter's or histogram's numbers, by an attribute."""
        found: Counter[str] = Counter()
        for point in self.telemetry.points(name):
            found[str(point.attributes.get(by, ""))] += point.count if hasattr(point, "count") else point.value
        return found

    def left(self) -> dict[str, int]:
        """What is still alive of units of work; after a garbage collection."""
        hooks: Any = SQLAlchemyInstrumentor()._units
        sessions = hooks.orm_sessions
        marked = sum(1 for found in gc.get_objects() if _is_marked(found))
        return {
            "units": len(sessions.units),
            "orm sessions": len(sessions._here) + len(sessions._used),
            "marks": marked,
            "held": len(otel_session.held_connections()),
        }


def _is_marked(found: Any) -> bool:
    return isinstance(found, _MARKED) and getattr(found, KEY, None) is not None


class Begun:
    """Units of work as SQLAlchemy's own events begin them, and failed statements as its error event has them."""

    def __init__(self, engine: Any, normal: Callable[[str], str]) -> None:
        self._engine, self._normal = engine, normal
        self._lock = threading.Lock()
        self.units = 0
        self.failed: Counter[str] = Counter()
        event.listen(Session, "after_begin", self._begun)
        event.listen(engine, "handle_error", self._errs)

    def _begun(self, _session: Session, transaction: Any, _connection: Any) -> None:
        if transaction.parent is None:
            with self._lock:
                self.units += 1

    def _errs(self, failure: Any) -> None:
        if failure.statement is not None:
            with self._lock:
                self.failed[self._normal(failure.statement)] += 1

    def end(self) -> None:
        """Listen no more."""
        event.remove(Session, "after_begin", self._begun)
        event.remove(self._engine, "handle_error", self._errs)


@contextlib.contextmanager
def watching(*, leaves: bool) -> Iterator[Seen]:
    """Everything instrumented, for the time of a block; spans as leaves, or as the SDK's."""
    log = _Log()
    logging.getLogger().addHandler(log)
    provider = TracerProvider(shutdown_on_exit=False)
    try:
        with testing.captured() as telemetry:
            seen = Seen(telemetry, provider, log.said)
            if leaves:
                encoder: Any = EncodingSpanProcessor()
                encoder.add(Branch(seen.lane, None, None))  # type: ignore[arg-type]
                provider.add_span_processor(encoder)
            else:
                provider.add_span_processor(seen.ended)
            otel_session.instrument(**{**telemetry.providers, "tracer_provider": provider})
            yield seen
            otel_session.uninstrument()
    finally:
        otel_session.uninstrument()
        logging.getLogger().removeHandler(log)
