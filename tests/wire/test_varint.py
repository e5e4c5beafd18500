"""Varints and length prefixes, against protobuf's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_session.wire.varint import delimit, encode_int64, encode_varint

from . import strategies as our

EDGES = [0, 1, 127, 128, 1023, 1024, 16383, 16384, 2**31 - 1, 2**31, 2**32 - 1]


@pytest.mark.parametrize("number", EDGES)
def test_unsigned_numbers_are_protobufs(number):
    """Every width of a 32-bit count is protobuf's."""
    expected = Span(dropped_events_count=number).SerializeToString()
    assert Span.FromString(b"\x60" + encode_varint(number)).dropped_events_count == number
    assert not number or expected == b"\x60" + encode_varint(number)


@our.many
@given(our.integers)
def test_signed_numbers_are_protobufs(number):
    """Negative and positive 64-bit integers are protobuf's `int64`, byte by byte."""
    assert AnyValue(int_value=number).SerializeToString() == b"\x18" + encode_int64(number)


@pytest.mark.parametrize("number", [-1, 2**64])
def test_a_varint_has_64_bits(number):
    """What needs more than ten bytes, or a sign, is refused."""
    with pytest.raises(ValueError, match="64"):
        encode_varint(number)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_an_int64_has_64_bits(number):
    """What fits no 64-bit integer is refused."""
    with pytest.raises(ValueError, match="64 bits"):
        encode_int64(number)


def test_the_widest_varint_has_ten_bytes():
    """2**64 - 1 is nine full bytes and a one."""
    assert encode_varint(2**64 - 1) == b"\xff" * 9 + b"\x01"


@our.many
@given(st.binary(max_size=3000))
def test_a_length_prefix_is_protobufs(data):
    """A delimited field is protobuf's `bytes`, byte by byte."""
    assert AnyValue(bytes_value=data).SerializeToString() == b"\x3a" + delimit(data)
