"""Our instrumentor, and what it tells in a run of somebody else's tests: only names that the wheel has."""

import gc
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from sqlalchemy import event
from sqlalchemy.event.base import _Dispatch
from sqlalchemy.orm import Session

from otel_session import attributes as names
from otel_session.instrumentors.sqlalchemy import SQLAlchemyInstrumentor
from otel_session.instrumentors.sqlalchemy.statements import read
from otel_session.wire.encoders import Branch, EncodingSpanProcessor
from otel_session.wire.leaves import Leaf

Statement = tuple[str, int]


class _Ids(RandomIdGenerator):
    """Random ids that leave Python's own random numbers, and with them what a test sends, as they are without us."""

    def __init__(self) -> None:
        self._bits = random.Random().getrandbits

    def generate_span_id(self) -> int:
        return self._bits(64) or 1

    def generate_trace_id(self) -> int:
        return self._bits(128) or 1


class _Spans(SpanProcessor):
    """Counts spans, and keeps the statements of those that ended."""

    def __init__(self) -> None:
        self.started: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.statements: Counter[Statement] = Counter()
        self.leaves = 0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.started[_kind(span.name, span.attributes)] += 1

    def on_end(self, span: Any) -> None:
        self.has_ended(span.name, span.attributes)

    def has_ended(self, name: str, about: Mapping[str, Any]) -> None:
        kind = _kind(name, about)
        self.ended[kind] += 1
        if kind == "statement":
            self.statements[about[names.DB_QUERY_TEXT], about.get(names.DB_OPERATION_BATCH_SIZE, 1)] += 1


class _Lane:
    """Where encoded spans are put, leaves among them: those have never been a span of the SDK's."""

    closed = False

    def __init__(self, spans: _Spans) -> None:
        self._spans = spans
        self.before_seal: Callable[[], None] = lambda: None

    def put(self, _origin: Any, item: tuple[Any, bytes], _size: int) -> None:
        ended, body = item
        self._spans.leaves += type(ended) is Leaf
        span = Span.FromString(body)
        about = {a.key: a.value.string_value or a.value.int_value for a in span.attributes}
        self._spans.has_ended(span.name, about)

    def put_all(self, origin: Any, items: list[Any], sizes: list[int]) -> None:
        for item, size in zip(items, sizes, strict=True):
            self.put(origin, item, size)

    def announce(self) -> None:
        """What waits to be encoded is asked for when somebody looks."""


class _Records(logging.Handler):
    """Keeps what OpenTelemetry and we complain of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class Telemetry:
    """Ours, switched on, with everything kept in memory.

    Args:
        leaves: Let nobody listen but our own encoder, and have each test under a request's span: then statements and
            units of work go the short way, without a span of the SDK's.
    """

    def __init__(self, *, leaves: bool = False) -> None:
        self._spans, self._records, self._reader = _Spans(), _Records(), InMemoryMetricReader()
        for logger in ("otel_session", "opentelemetry"):
            logging.getLogger(logger).addHandler(self._records)
        tracers = TracerProvider(id_generator=_Ids(), shutdown_on_exit=False)
        self._lane = _Lane(self._spans)
        if leaves:
            encoder: Any = EncodingSpanProcessor()
            encoder.add(Branch(self._lane, None, lambda ended, _origin, body: (ended, body)))  # type: ignore[arg-type]
            tracers.add_span_processor(encoder)
        else:
            tracers.add_span_processor(self._spans)
        self._request = tracers.get_tracer("tests").start_span("request") if leaves else trace.INVALID_SPAN
        meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self._instrumentor = SQLAlchemyInstrumentor()
        self._instrumentor.instrument(tracer_provider=tracers, meter_provider=meters)
        self._listeners = list(_listeners(self._instrumentor))
        self._outlive_clearing()

    def _listen_again(self) -> None:
        for target, name, listener in self._listeners:
            if not event.contains(target, name, listener):
                event.listen(target, name, listener)

    def _outlive_clearing(self) -> None:
        """Keep our listeners: SQLAlchemy's tests clear everybody's, by `SessionEvents._clear()` and the like."""
        original: Any = _Dispatch._clear

        def _clear(dispatch: Any) -> None:
            original(dispatch)
            self._listen_again()

        _Dispatch._clear = _clear

    def take(self) -> Counter[Statement]:
        """The statements told of since the last time."""
        self._lane.before_seal()
        found, self._spans.statements = self._spans.statements, Counter()
        return found

    @contextmanager
    def around(self) -> Iterator[None]:
        """Where a test is run."""
        with trace.use_span(self._request):
            yield

    def left_current(self) -> bool:
        """Whether another span stayed current, at the end of `around`."""
        return trace.get_current_span() is not self._request

    def end(self) -> dict[str, Any]:
        """Switch it off; gives what is to be zero or equal."""
        gc.collect()
        units: Any = self._instrumentor._units
        sessions = units.orm_sessions
        found = {
            "open_units": len(sessions.units),
            "orm_sessions": {"made": sessions.made, "ended": sessions.ended, "active": sessions.active},
            "outcomes_of_units": self._counts(names.METRIC_UNIT_DURATION, names.UNIT_OUTCOME),
            "durations": sum(self._counts(names.METRIC_DB_CLIENT_OPERATION_DURATION, names.DB_SYSTEM_NAME).values()),
        }
        self._instrumentor.uninstrument()
        self._lane.before_seal()
        return {
            **found,
            "spans_started": dict(self._spans.started),
            "spans_ended": dict(self._spans.ended),
            "leaves": self._spans.leaves,
            "complaints": self._records.lines,
        }

    def _counts(self, metric: str, by: str) -> dict[str, int]:
        """How many measurements a histogram has, by the value of one attribute."""
        found: Counter[str] = Counter()
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for point in (p for m in scope.metrics if m.name == metric for p in m.data.data_points):
                    found[str(point.attributes.get(by, "too many series"))] += point.count
        return dict(found)


def _listeners(instrumentor: Any) -> Iterator[tuple[Any, str, Any]]:
    for name in ("after_rollback", "after_flush"):
        yield Session, name, getattr(instrumentor._units, name)


def normalised(sent: Counter[Statement]) -> Counter[Statement]:
    """Statements as they are told: without their literals."""
    found: Counter[Statement] = Counter()
    for (text, sets), count in sent.items():
        found[read(text, "sqlite").text, sets] += count
    return found


def _kind(name: str, about: Mapping[str, Any]) -> str:
    if name == names.SPAN_UNIT_OF_WORK:
        return "unit"
    return "statement" if names.DB_QUERY_TEXT in about else "other"
