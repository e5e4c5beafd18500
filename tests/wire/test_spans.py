"""Spans: our bytes against the official encoder's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceState

from otel_session.wire import encode_span

from . import strategies as our
from .made_spans import finished_spans, make_provider, make_span
from .official import decoded_span, official_trace_request, our_trace_request

CONTEXT = SpanContext(1, 2, is_remote=False)


@our.many
@given(finished_spans())
def test_a_span_of_a_real_tracer_decodes_to_what_the_official_encoder_gives(span):
    """Any span a tracer can make is sent exactly as the official encoder sends it, resource and scope included."""
    assert our_trace_request([span]) == official_trace_request([span])


@our.many
@given(
    st.builds(
        ReadableSpan,
        name=our.texts,
        context=our.contexts,
        parent=st.one_of(st.none(), our.contexts),
        resource=our.resources,
        attributes=st.one_of(st.none(), our.attributes),
        events=st.lists(st.builds(Event, our.texts, st.one_of(st.none(), our.attributes), our.times_ns), max_size=2),
        links=st.lists(st.builds(Link, our.contexts, st.one_of(st.none(), our.attributes)), max_size=2).map(tuple),
        kind=our.kinds,
        status=st.one_of(st.none(), st.builds(Status, our.codes)),
        start_time=st.one_of(st.none(), our.times_ns),
        end_time=st.one_of(st.none(), our.times_ns),
        instrumentation_scope=st.one_of(st.none(), our.scopes),
    )
)
def test_a_span_somebody_built_decodes_to_what_the_official_encoder_gives(span):
    """Plain dictionaries, missing times, scopes and attributes, lists for tuples: still the same message."""
    assert our_trace_request([span]) == official_trace_request([span])


@pytest.mark.parametrize("kind", list(SpanKind))
def test_each_kind_keeps_its_number(kind):
    """OTLP numbers the kinds from 1, in the API's order."""
    assert decoded_span(make_span(kind=kind)).kind == kind.value + 1


@pytest.mark.parametrize(("parent", "flags"), [(None, 0x100), (False, 0x100), (True, 0x300)])
def test_flags_say_whether_the_parent_is_remote(parent, flags):
    """Bit 8 says that bit 9 is known; bit 9 is set for a parent in another process only."""
    context = None if parent is None else SpanContext(7, 9, is_remote=parent)
    assert decoded_span(make_span(parent=context)).flags == flags


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (Status(StatusCode.UNSET), 0, ""),
        (Status(StatusCode.OK), 1, ""),
        (Status(StatusCode.ERROR), 2, ""),
        (Status(StatusCode.ERROR, "Zeit abgelaufen ⏱"), 2, "Zeit abgelaufen ⏱"),
    ],
)
def test_a_status_is_always_there(status, code, message):
    """An unset status is sent as an empty message, not left out: decoders tell the two apart."""
    span = decoded_span(ReadableSpan("s", context=CONTEXT, resource=Resource({}), status=status))
    assert span.HasField("status")
    assert (span.status.code, span.status.message) == (code, message)


def test_ids_keep_their_leading_zeros():
    """Ids are 16 and 8 bytes, big-endian, however small the numbers."""
    span = decoded_span(make_span(parent=SpanContext(5, 6, is_remote=False)))
    assert span.trace_id == bytes(15) + b"\x05"
    assert span.parent_span_id == bytes(7) + b"\x06"
    assert len(span.span_id) == 8


def test_the_trace_state_keeps_its_order():
    """Members of the trace state stay in the order the vendor gave."""
    state = TraceState([("z", "1"), ("a", "2"), ("m@v", "3")])
    span = make_span(parent=SpanContext(5, 6, is_remote=True, trace_state=state))
    assert decoded_span(span).trace_state == "z=1,a=2,m@v=3"


def test_a_links_trace_state_is_not_sent_as_the_official_encoder_does_not():
    """The official encoder leaves a link's trace state out; so do we until it does not."""
    link = Link(SpanContext(5, 6, is_remote=True, trace_state=TraceState([("a", "b")])))
    span = make_span(links=[link])
    assert decoded_span(span).links[0].flags == 0x300
    assert decoded_span(span).links[0].trace_state == ""
    assert our_trace_request([span]) == official_trace_request([span])


def test_an_exception_recorded_on_a_span_is_an_event_of_it():
    """`record_exception` arrives as the official encoder sends it, stack trace (a long value) included."""
    provider, exporter = make_provider()
    tracer = provider.get_tracer("tests", "1.0", schema_url="https://example.org/schema")
    with pytest.raises(ValueError, match="boom"), tracer.start_as_current_span("s"):
        raise ValueError("boom " * 200)
    spans = exporter.get_finished_spans()
    assert decoded_span(spans[0]).events[0].name == "exception"
    assert our_trace_request(spans) == official_trace_request(spans)


def test_what_limits_dropped_is_counted():
    """Counts of dropped attributes, events and links, on the span and on its events and links, are sent."""
    provider, exporter = make_provider(span_limits=SpanLimits(max_attributes=1, max_events=2, max_links=1))
    attributes = {"a": 1, "b": 2, "c": 3}
    links = [Link(SpanContext(1, n, is_remote=False), dict(attributes)) for n in (1, 2, 3)]
    span = provider.get_tracer("tests").start_span("s", attributes=attributes, links=links)
    for name in "abcde":
        span.add_event(name, attributes)
    span.end()
    sent = decoded_span(exporter.get_finished_spans()[0])
    assert (sent.dropped_attributes_count, sent.dropped_events_count, sent.dropped_links_count) == (2, 3, 2)
    assert sent.events[0].dropped_attributes_count == sent.links[0].dropped_attributes_count == 2


def test_a_span_with_the_largest_values_is_not_cut():
    """A megabyte of text and ten thousand attributes arrive whole: only the SDK's limits cut."""
    attributes = {f"key.{n}": n for n in range(10_000)} | {"text": "é" * (1 << 20)}
    scope = InstrumentationScope("tests")
    span = ReadableSpan("s", context=CONTEXT, resource=Resource({}), attributes=attributes, instrumentation_scope=scope)
    assert our_trace_request([span]) == official_trace_request([span])
    assert len(encode_span(span)) > 2 << 20
