"""Attribute values: which arrive, as what, and which are left out."""

from __future__ import annotations

import enum
import struct
from collections import UserDict

import pytest
from hypothesis import given
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext

from otel_session.wire import encode_attributes, encode_span, frame_request, origin_of
from otel_session.wire.values import encode_any, encode_value

from . import strategies as our
from .official import canonical, encode_attributes_officially


class Number(enum.IntEnum):
    THREE = 3


class Word(str, enum.Enum):
    A = "a"


class Text(str):
    """A string with ideas of its own."""

    def encode(self, *args, **kwargs):
        return b"not me"


def decode(attributes):
    return Span.FromString(encode_attributes(attributes))


def official(attributes):
    return canonical(Span(attributes=encode_attributes_officially(attributes)))


@our.many
@given(our.attributes)
def test_attributes_decode_to_what_the_official_encoder_gives(attributes):
    """Every kind of value, nested too, is sent or left out as the official encoder does, first time and again."""
    expected = official(attributes)
    assert canonical(decode(attributes)) == expected
    assert canonical(decode(dict(attributes))) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(0, 1, -1, 127, 128, 1023, 1024, 2**31, 2**63 - 1, -(2**63)),
        *(0.0, -0.0, float("inf"), float("-inf"), float("nan"), 5e-324),
        *(True, False, "", "\x00", b"", b"\xff\x00", bytearray(b"ab"), "é" * 64),
        *([], (), {}, None, [None, 1, "a", [2.5]], {"a": {"b": [None]}}, {1: 2, None: 3}, range(3)),
        *(Number.THREE, Word.A, [Word.A], {Word.A: 1}, UserDict({"a": 1})),
    ],
    ids=repr,
)
def test_an_odd_value_arrives_as_the_official_encoder_sends_it(value):
    """Bounds, empties, subclasses and nesting arrive, and as what the official encoder makes of them."""
    sent = decode({"k": value})
    assert len(sent.attributes) == 1
    assert canonical(sent) == official({"k": value})


@pytest.mark.parametrize(
    "value",
    [2**63, -(2**63) - 1, 10**30, [1, 2**64], {"a": 2**64}, {1, 2}, object(), [object()], 1j],
    ids=repr,
)
def test_what_otlp_cannot_hold_is_left_out_alone(value):
    """An integer beyond 64 bits or a foreign type loses its attribute, as officially, and no other."""
    attributes = {"before": 1, "odd": value, "after": 2}
    assert [pair.key for pair in decode(attributes).attributes] == ["before", "after"]
    assert canonical(decode(attributes)) == official(attributes)


@pytest.mark.parametrize(
    ("text", "sent"),
    [("\ud800", "\ufffd"), ("a\udfffb", "a\ufffdb"), ("\ud83d\ude00", "😀"), ("ok é \udc80", "ok é \ufffd")],
)
def test_surrogates_are_replaced_where_the_official_encoder_raises(text, sent):
    """A lone surrogate becomes U+FFFD and a pair its character: in values, nested values, keys and names."""
    found = decode({"v": text, "list": [text], "map": {text: text}, text: 1})
    assert canonical(found) == official({"v": sent, "list": [sent], "map": {sent: sent}, sent: 1})


def test_a_subclass_of_str_is_sent_as_its_characters():
    """What a subclass overrides does not reach the wire."""
    assert decode({"k": Text("mine"), Text("key"): 1}) == decode({"k": "mine", "key": 1})


def test_a_not_a_number_keeps_its_bits():
    """The payload of a NaN survives."""
    value = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_1234))[0]
    assert encode_value(value)[1:] == struct.pack("<Q", 0x7FF8_0000_0000_1234)


def nest(depth: int, wrap) -> object:
    value: object = "x"
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    ("wrap", "deepest"), [(lambda value: [value], 47), (lambda value: {"k": value}, 31)], ids=["lists", "mappings"]
)
def test_nesting_stops_where_a_decoder_would_refuse_the_whole_batch(wrap, deepest):
    """The deepest value that is sent decodes inside an event of a request; one level more is left out."""
    kept, cut = nest(deepest, wrap), nest(deepest + 1, wrap)
    event = Event("e", {"kept": kept, "cut": cut}, 1)
    span = ReadableSpan("s", SpanContext(1, 2, is_remote=False), resource=Resource({}), events=[event])
    request = frame_request([(origin_of(span.resource, None), [encode_span(span)])])
    (sent,) = ExportTraceServiceRequest.FromString(request).resource_spans[0].scope_spans[0].spans[0].events
    assert [pair.key for pair in sent.attributes] == ["kept"]


def test_a_value_that_contains_itself_is_left_out():
    """Endless nesting costs its attribute, not the stack."""
    endless: list[object] = []
    endless.append(endless)
    assert [pair.key for pair in decode({"a": endless, "b": 1}).attributes] == ["b"]


class Hostile:
    def __str__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("body", "sent"),
    [(2**64, str(2**64)), ({1}, "{1}"), ([object], str([object])), (Hostile(), ""), (10**5000, "")],
    ids=["wide", "set", "type", "hostile", "endless digits"],
)
def test_a_body_otlp_cannot_hold_becomes_its_text(body, sent):
    """A log record's body is never lost to its type: what has no kind is sent as `str` of it, or as empty text."""
    assert AnyValue.FromString(encode_any(body)) == AnyValue(string_value=sent)
