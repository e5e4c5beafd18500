"""Fields the official encoder raises for, losing a batch: here they arrive as the nearest value that can be sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceState

from . import strategies as our
from .made_spans import make_provider
from .official import decoded_span

CONTEXT = SpanContext(1, 2, is_remote=False)


def build(**fields: object) -> ReadableSpan:
    return ReadableSpan(**{"name": "s", "context": CONTEXT, "resource": Resource({}), **fields})


@pytest.mark.parametrize(
    ("given_ns", "sent_ns"),
    [(-1, 0), (2**64, 2**64 - 1), (1.9, 1), (float("nan"), 0), (float("inf"), 2**64 - 1), ("now", 0), (None, 0)],
)
def test_a_time_out_of_range_is_bent_into_it(given_ns, sent_ns):
    """Start, end and event times that fit no 64-bit field are clamped; what is no number is no time."""
    event = Event("e", timestamp=0)
    event._timestamp = given_ns
    sent = decoded_span(build(start_time=given_ns, end_time=given_ns, events=(event,)))
    assert (sent.start_time_unix_nano, sent.end_time_unix_nano) == (sent_ns, sent_ns)
    assert sent.events[0].time_unix_nano == sent_ns


def test_times_given_in_seconds_arrive():
    """`span.end(end_time=time.time())`, a common mistake, costs the span's times and not the batch."""
    provider, exporter = make_provider()
    provider.get_tracer("t").start_span("s", start_time=1763683200.25).end(1763683201.5)
    (span,) = exporter.get_finished_spans()
    with pytest.raises(TypeError):
        encode_spans([span])
    assert decoded_span(span).end_time_unix_nano == 1763683201


@pytest.mark.parametrize("number", [2**128 + 5, -1, 2**200])
def test_ids_wider_than_their_field_are_cut(number):
    """An id generator's mistake sends the low bits of its ids."""
    context = SpanContext(number, number, is_remote=False)
    sent = decoded_span(build(context=context, parent=context, links=[Link(context)]))
    assert sent.trace_id == (number % 2**128).to_bytes(16, "big") == sent.links[0].trace_id
    low = (number % 2**64).to_bytes(8, "big")
    assert sent.span_id == sent.parent_span_id == sent.links[0].span_id == low


def test_text_that_is_no_unicode_is_replaced_in_every_field():
    """Names, descriptions and trace state with lone surrogates arrive with U+FFFD."""
    state = TraceState()
    state._dict = {"k": "\ud800"}
    sent = decoded_span(
        build(
            name="a\ud800",
            context=SpanContext(1, 2, is_remote=False, trace_state=state),
            events=(Event("\udfff", timestamp=1),),
            status=Status(StatusCode.ERROR, "\ud800!"),
        )
    )
    assert (sent.name, sent.trace_state, sent.events[0].name) == ("a\ufffd", "k=\ufffd", "\ufffd")
    assert sent.status.message == "\ufffd!"


@pytest.mark.parametrize(("name", "sent"), [(None, ""), (42, "42"), (b"raw\xff", "raw\ufffd"), (["a"], "['a']")])
def test_a_name_that_is_no_text_is_made_text(name, sent):
    """`start_span(route)` with something else than a string still gives a span with a name."""
    assert decoded_span(build(name=name)).name == sent


def test_a_span_without_context_kind_or_status_is_sent_without():
    """What a hand-made span lacks is left out."""
    sent = decoded_span(build(context=None, kind=None, status=None))
    assert (sent.trace_id, sent.span_id, sent.kind) == (bytes(16), bytes(8), 0)
    assert not sent.HasField("status")


things = st.one_of(our.scalars, st.lists(our.scalars, max_size=2), st.builds(object), st.floats(), st.text())
odd_mappings = st.dictionaries(st.one_of(st.text(), st.integers(), st.binary(), st.none()), things)


@our.many
@given(
    st.builds(
        build,
        name=things,
        kind=st.one_of(things, st.just(SpanKind.SERVER)),
        start_time=things,
        end_time=things,
        attributes=st.one_of(st.none(), odd_mappings),
        events=st.lists(st.builds(Event, things, odd_mappings, things), max_size=2),
        links=st.lists(st.builds(Link, st.just(CONTEXT), odd_mappings), max_size=2),
    )
)
def test_no_value_in_a_span_makes_the_encoder_raise(span):
    """Whatever stands in its fields, a span is encoded, and a decoder reads it."""
    assert decoded_span(span).span_id == bytes(7) + b"\x02"
