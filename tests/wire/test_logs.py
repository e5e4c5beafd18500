"""Log records: our bytes against the official encoder's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider, LogRecordLimits, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from . import strategies as our
from .official import decoded_record, official_logs_request, our_logs_request

RESOURCES = [Resource({}), Resource({"service.name": "shop"})]
SCOPES = [None, InstrumentationScope("a"), InstrumentationScope("a", "1.0", "https://example.org/schema")]


def without_wide_integers(value: object) -> bool:
    """The official encoder loses the batch to a body with an integer beyond 64 bits; `test_values` has ours."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if isinstance(value, dict):
        return all(without_wide_integers(item) for item in value.values())
    return not isinstance(value, (list, tuple)) or all(without_wide_integers(item) for item in value)


def context_of(span_context: SpanContext | None):
    return set_span_in_context(NonRecordingSpan(span_context)) if span_context else None


records = st.builds(
    LogRecord,
    timestamp=st.one_of(st.none(), our.times_ns),
    observed_timestamp=our.times_ns,
    context=st.one_of(st.none(), our.contexts).map(context_of),
    severity_text=st.one_of(st.none(), our.texts),
    severity_number=st.one_of(st.none(), st.sampled_from(SeverityNumber)),
    body=our.values.filter(without_wide_integers),
    attributes=st.one_of(st.none(), our.attributes),
    event_name=st.one_of(st.none(), our.texts),
)


def emit(record: LogRecord) -> ReadableLogRecord:
    """Send a record through a real logger provider."""
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(Resource({"a": 1}), shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("tests", "1.0", "https://example.org/schema").emit(record)
    return exporter.get_finished_logs()[0]


@our.many
@given(st.builds(ReadableLogRecord, records, our.resources, st.one_of(st.none(), our.scopes)))
def test_a_record_decodes_to_what_the_official_encoder_gives(record):
    """Times, severities, bodies of any kind, attributes, ids, flags and event names are sent as officially."""
    assert our_logs_request([record]) == official_logs_request([record])


@our.many
@given(st.lists(st.builds(ReadableLogRecord, records, st.sampled_from(RESOURCES), st.sampled_from(SCOPES)), max_size=4))
def test_a_batch_is_grouped_as_the_official_encoder_groups_it(batch):
    """Records of the same resource and scope go under one heading, in order of first appearance."""
    assert our_logs_request(batch) == official_logs_request(batch)


@our.many
@given(records)
def test_a_record_of_a_real_logger_decodes_to_what_the_official_encoder_gives(record):
    """What a logger provider hands to its processors, bounded attributes included, is sent as officially."""
    emitted = emit(record)
    assert our_logs_request([emitted]) == official_logs_request([emitted])


@pytest.mark.filterwarnings("ignore:Log record attributes were dropped")
def test_attributes_dropped_by_limits_are_counted():
    """The count of attributes a limit dropped is sent."""
    limited = ReadWriteLogRecord(
        LogRecord(body="b", attributes={"a": 1, "b": 2, "c": 3}), limits=LogRecordLimits(max_attributes=1)
    )
    record = ReadableLogRecord(limited.log_record, Resource({}))
    assert decoded_record(record).dropped_attributes_count == 2
    assert our_logs_request([record]) == official_logs_request([record])


def test_a_record_outside_any_trace_has_no_ids():
    """Ids of zero are left out, not sent as zeros."""
    sent = decoded_record(emit(LogRecord(body="b")))
    assert (sent.trace_id, sent.span_id, sent.flags) == (b"", b"", 0)


def test_a_record_inside_a_trace_has_its_ids_and_flags():
    """Trace id, span id and the sampled flag of the context are sent."""
    context = context_of(SpanContext(5, 6, is_remote=False, trace_flags=TraceFlags(1)))
    sent = decoded_record(emit(LogRecord(body="b", context=context)))
    assert (sent.trace_id, sent.span_id, sent.flags) == (bytes(15) + b"\x05", bytes(7) + b"\x06", 1)


def test_no_body_is_an_empty_value():
    """A record without a body has a body of no kind, as officially."""
    sent = decoded_record(emit(LogRecord(event_name="session.start")))
    assert sent.HasField("body")
    assert sent.body.WhichOneof("value") is None
    assert sent.event_name == "session.start"


def test_a_body_the_official_encoder_raises_for_is_sent_as_text():
    """One odd body costs the official encoder its batch; ours sends what it says."""
    record = ReadableLogRecord(LogRecord(body={1, 2}), Resource({}))
    with pytest.raises(Exception, match="Invalid type"):
        encode_logs([record])
    assert decoded_record(record).body.string_value == "{1, 2}"


class Severity:
    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(
    ("severity", "sent"),
    [(SeverityNumber.WARN, 13), (None, 0), (17, 0), (Severity(2**40 + 5), 0), (Severity("high"), 0)],
)
def test_a_severity_is_one_of_the_enumeration_or_not_sent(severity, sent):
    """A bare number is no severity to the official encoder; one that fits no enumeration is left out."""
    record = LogRecord(body="b", severity_number=severity)
    assert decoded_record(ReadableLogRecord(record, Resource({}))).severity_number == sent


things = st.one_of(our.scalars, st.builds(object), st.text(), st.floats())


@our.many
@given(st.tuples(*[things] * 10), st.dictionaries(st.text(), things))
def test_no_value_in_a_record_makes_the_encoder_raise(drawn, attributes):
    """Whatever stands in its fields, a record is encoded, and a decoder reads it."""
    record = LogRecord(attributes=attributes)
    fields = ("timestamp", "observed_timestamp", "trace_id", "span_id", "trace_flags", "severity_text")
    for field, value in zip((*fields, "severity_number", "body", "event_name"), drawn, strict=False):
        setattr(record, field, value)
    sent = decoded_record(ReadableLogRecord(record, Resource({})))
    assert len(sent.attributes) <= len(attributes)
