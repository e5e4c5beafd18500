"""Leaves: what is written without an SDK object cannot be told from what is made with one."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)

import otel_session
from otel_session.wire.encoders import Branch, EncodingLogProcessor, EncodingSpanProcessor
from otel_session.wire.leaves import Leaf
from otel_session.wire.log_leaves import LogLeaf
from tests.lanes import KeptLane


class _ForeignSpans(SpanProcessor):
    """Somebody else's processor: it must get real spans."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def on_end(self, span: Any) -> None:
        self.names.append(span.name)


class _ForeignLogs(LogRecordProcessor):
    def on_emit(self, log_record: Any) -> None:
        pass

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class _Odd(Sampler):
    """A sampler of somebody's own, which must be asked for each span."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def should_sample(self, parent_context: Any, trace_id: int, name: str, *args: Any, **kwargs: Any) -> SamplingResult:
        self.asked.append(name)
        return ALWAYS_ON.should_sample(parent_context, trace_id, name, *args, **kwargs)

    def get_description(self) -> str:
        return "Odd"


@contextmanager
def _instrumented(
    *, foreign: bool = False, sampler: Any = None, limits: Any = None
) -> Iterator[tuple[KeptLane, KeptLane]]:
    spans, logs = KeptLane(), KeptLane()
    tracer_provider = TracerProvider(sampler=sampler, span_limits=limits, shutdown_on_exit=False)
    encoder: Any = EncodingSpanProcessor()
    encoder.add(Branch(spans, None, lambda ended, _origin, body: (ended, body)))
    tracer_provider.add_span_processor(encoder)
    logger_provider = LoggerProvider(shutdown_on_exit=False)
    log_encoder: Any = EncodingLogProcessor()
    log_encoder.add(Branch(logs, None, lambda ended, _origin, body: (ended, body)))
    logger_provider.add_log_record_processor(log_encoder)
    if foreign:
        tracer_provider.add_span_processor(_ForeignSpans())
        logger_provider.add_log_record_processor(_ForeignLogs())
    otel_session.instrument(tracer_provider=tracer_provider, logger_provider=logger_provider)
    try:
        with otel_session.bound_session("run-1", correlation_id="req_1"):
            tracer = tracer_provider.get_tracer("app")
            with tracer.start_as_current_span("request"):
                yield spans, logs
    finally:
        otel_session.uninstrument()


def _work() -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE deal (id INTEGER PRIMARY KEY, title TEXT UNIQUE)"))
        insert = sqlalchemy.text("INSERT INTO deal (title) VALUES (:t)")
        connection.execute(insert, [{"t": "a"}, {"t": "b"}])
        connection.execute(sqlalchemy.text("SELECT title FROM deal WHERE id = 7 OR title = 'ü'")).all()
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            connection.execute(insert, {"t": "a"})
    log = logging.getLogger("shop")
    log.warning("listed %d deals", 3)
    log.error("bad: %s", "ü\n", extra={"deal": 7, "password": "x", "session.id": "mine"})
    try:
        raise ValueError("no such deal")
    except ValueError:
        log.exception("failed")


def _plain_span(body: bytes) -> dict[str, Any]:
    span = Span.FromString(body)
    assert len(span.trace_id) == 16
    assert len(span.span_id) == len(span.parent_span_id) == 8
    assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
    attributes = {a.key: a.value.SerializeToString(deterministic=True) for a in span.attributes}
    assert len(attributes) == len(span.attributes)
    return {
        "name": span.name,
        "kind": span.kind,
        "flags": span.flags,
        "state": span.trace_state,
        "status": span.status.SerializeToString(deterministic=True),
        "has_status": span.HasField("status"),
        "attributes": attributes,
        "rest": (len(span.events), len(span.links), span.dropped_attributes_count),
    }


def _plain_log(body: bytes) -> dict[str, Any]:
    record = LogRecord.FromString(body)
    assert 0 < record.time_unix_nano <= record.observed_time_unix_nano
    attributes = {a.key: a.value.SerializeToString(deterministic=True) for a in record.attributes}
    assert len(attributes) == len(record.attributes)
    attributes.pop("code.line.number")
    return {
        "body": record.body.string_value,
        "severity": (record.severity_number, record.severity_text),
        "flags": record.flags,
        "ids": (len(record.trace_id), len(record.span_id)),
        "attributes": attributes,
    }


WORK = ["connect", "CREATE TABLE deal", "BATCH INSERT deal", "SELECT deal", "INSERT deal"]
"""What `_work` does in the database, as spans are named."""


def _statements(lane: KeptLane) -> list[tuple[Any, bytes]]:
    return [(ended, body) for ended, body in lane.put_in if Span.FromString(body).name != "request"]


def test_leaf_spans_equal_sdk_spans() -> None:
    """The same statements, written as leaves and made as SDK spans for a foreign processor, decode to the same."""
    with _instrumented() as (short, _):
        _work()
    with _instrumented(foreign=True) as (real, _):
        _work()
    assert [type(ended) for ended, _ in _statements(short)] == [Leaf] * len(WORK)
    assert Leaf not in {type(ended) for ended, _ in real.put_in}
    ours = [_plain_span(body) for _, body in _statements(short)]
    assert ours == [_plain_span(body) for _, body in _statements(real)]
    assert short.origins[0][2:] == real.origins[0][2:]  # the scope; resources differ in service.instance.id


def test_leaf_logs_equal_sdk_logs() -> None:
    """The same log lines, written as bytes and made as SDK records for a foreign processor, decode to the same."""
    with _instrumented() as (_, short):
        _work()
    with _instrumented(foreign=True) as (_, real):
        _work()
    assert [type(ended) for ended, _ in short.put_in] == [LogLeaf] * 3
    assert LogLeaf not in {type(ended) for ended, _ in real.put_in}
    assert [_plain_log(body) for _, body in short.put_in] == [_plain_log(body) for _, body in real.put_in]
    assert short.origins[0][2:] == real.origins[0][2:]


def test_leaves_belong_to_their_parent() -> None:
    """A leaf has its parent's trace id and span id, and a span id of its own."""
    with _instrumented() as (short, _):
        _work()
        parent = trace.get_current_span().get_span_context()
    spans = [Span.FromString(body) for _, body in _statements(short)]
    assert {s.trace_id for s in spans} == {parent.trace_id.to_bytes(16, "big")}
    assert {s.parent_span_id for s in spans} == {parent.span_id.to_bytes(8, "big")}
    assert len({s.span_id for s in spans}) == len(spans)


@pytest.mark.parametrize(
    ("sampler", "leaves"),
    [
        (None, True),
        (ALWAYS_ON, True),
        (ParentBased(ALWAYS_ON), True),
        (ParentBasedTraceIdRatio(1.0), True),
        (TraceIdRatioBased(1.0), False),
        (ParentBased(ALWAYS_ON, local_parent_sampled=TraceIdRatioBased(1.0)), False),
    ],
)
def test_samplers(sampler: Any, leaves: bool) -> None:
    """A sampler that may drop a sampled span's child is asked for each statement; others need not be."""
    with _instrumented(sampler=sampler) as (lane, _):
        _work()
    assert (Leaf in {type(ended) for ended, _ in lane.put_in}) is leaves
    assert [Span.FromString(body).name for _, body in _statements(lane)] == WORK


def test_a_foreign_sampler_is_asked() -> None:
    """A sampler of somebody's own sees each statement's name."""
    sampler = _Odd()
    with _instrumented(sampler=sampler):
        _work()
    assert sampler.asked == ["request", *WORK]


def test_limits() -> None:
    """With a limit on the length of values statements are real spans, and the limit holds."""
    with _instrumented(limits=SpanLimits(max_attribute_length=10)) as (lane, _):
        _work()
    assert Leaf not in {type(ended) for ended, _ in lane.put_in}
    texts = [a.value.string_value for _, body in _statements(lane) for a in Span.FromString(body).attributes]
    assert max(map(len, texts)) == 10


def test_a_processor_added_later_gets_real_spans() -> None:
    """The choice follows the provider: from the moment a foreign processor is there it sees every statement."""
    provider = TracerProvider(shutdown_on_exit=False)
    encoder: Any = EncodingSpanProcessor()
    lane = KeptLane()
    encoder.add(Branch(lane, None, lambda ended, _origin, body: (ended, body)))  # type: ignore[arg-type]
    provider.add_span_processor(encoder)
    otel_session.instrument(tracer_provider=provider)
    foreign = _ForeignSpans()
    try:
        with provider.get_tracer("app").start_as_current_span("request"):
            _work()
            provider.add_span_processor(foreign)
            _work()
    finally:
        otel_session.uninstrument()
    kinds = [type(ended) is Leaf for ended, _ in _statements(lane)]
    assert kinds == [True] * len(WORK) + [False] * len(WORK)
    assert foreign.names == [*WORK, "request"]


@pytest.mark.parametrize("kept", [True, False])
def test_without_a_parent_it_is_a_root_span(kept: bool) -> None:
    """A statement outside of any span is a root, sampled as one, and no other than the SDK's would be."""
    found = {}
    for foreign in (False, True):
        sampler = ParentBased(TraceIdRatioBased(1.0 if kept else 0.0))
        with _instrumented(foreign=foreign, sampler=sampler) as (lane, _):
            token = otel_context.attach(otel_context.Context())
            try:
                _work()
            finally:
                otel_context.detach(token)
        spans = [Span.FromString(body) for _, body in _statements(lane)]
        found[foreign] = [
            (s.name, s.kind, s.parent_span_id, s.flags, s.status.code, {a.key: str(a.value) for a in s.attributes})
            for s in spans
        ]
        assert all(0 < span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)
    assert found[False] == found[True]
    assert [parent for _, _, parent, *_ in found[True]] == [b""] * len(WORK) * kept
