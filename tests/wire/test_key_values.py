"""Attributes encoded once: never one for another, never too many, alike from any thread."""

from __future__ import annotations

import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_session.wire import IN_LOG_RECORD, _report, encode_attributes, encode_span, key_values, pre_encode

from . import strategies as our
from .made_spans import make_span
from .official import canonical

TWINS = [True, 1, 1.0, False, 0, 0.0, -0.0, "1", b"1", (True,), (1,), (1.0,), {"a": 1}, {"a": True}]


def decode(attributes) -> dict[str, object]:
    span = Span.FromString(encode_attributes(attributes))
    return {pair.key: pair.value for pair in span.attributes}


@our.many
@given(st.permutations(TWINS))
def test_values_that_are_equal_to_python_stay_apart(values):
    """True, 1, 1.0 and the zeros, bare or inside a list, are sent as what they are, in whatever order they come."""
    fresh = []
    for value in values:
        key_values.clear_caches()
        fresh.append(encode_attributes({"k": value}))
    key_values.clear_caches()
    assert [encode_attributes({"k": value}) for value in values] == fresh
    assert [encode_attributes({"k": value}) for value in values] == fresh
    assert len(set(fresh)) == len(TWINS)


def test_a_key_with_ideas_of_its_own_does_not_get_anothers_bytes():
    """A subclass of str that equals another spelling is encoded as its own characters."""

    class AnyCase(str):
        def __eq__(self, other):
            return self.lower() == str(other).lower()

        def __hash__(self):
            return hash(self.lower())

    encode_attributes({"host": "x"})
    assert list(decode({AnyCase("HOST"): "x"})) == ["HOST"]
    assert encode_attributes({"host": AnyCase("X")}) == encode_attributes({"host": "X"})


def test_a_repeated_attribute_is_the_same_object():
    """Strings, integers and booleans that were seen are not encoded again."""
    for value in ("GET", 200, True):
        pair = ("seen.before", value)
        assert key_values._encode_or_skip(pair) is key_values._encode_or_skip(pair)


@pytest.mark.parametrize("value", ["x" * 257, 1.5, b"x", ("a",), None, {"a": 1}], ids=repr)
def test_long_and_unhashable_values_and_floats_are_not_kept(value):
    """What would not repeat, or cannot be a key, leaves nothing behind."""
    key_values.clear_caches()
    assert list(decode({"k": value})) == ["k"]
    assert sum(len(cache) for cache in key_values._caches.values()) == 0


def test_a_flood_of_distinct_values_stays_within_the_bounds_and_keeps_what_is_in_use():
    """A hundred thousand ids pass through; memory stays bounded and a frequent attribute is never encoded twice."""
    key_values.clear_caches()
    kept = key_values._encode_or_skip(("http.request.method", "GET"))
    for number in range(100_000):
        encode_attributes({"request.id": f"id-{number}", "http.request.method": "GET"})
    assert len(key_values._strings) <= 2048
    assert key_values._strings.young_bytes <= 1 << 19
    assert key_values._encode_or_skip(("http.request.method", "GET")) is kept


def test_no_attributes_are_no_bytes():
    """None, an empty dictionary and emptied bounded attributes add nothing to a message."""
    assert encode_attributes(None) == encode_attributes({}) == encode_attributes(BoundedAttributes(0, {"a": 1})) == b""


def test_attributes_can_be_encoded_for_each_message():
    """The field's tag decides which message they are part of."""
    record = LogRecord.FromString(pre_encode({"session.id": "s"}, IN_LOG_RECORD))
    assert [pair.key for pair in record.attributes] == ["session.id"]


def test_attributes_encoded_ahead_join_a_span_by_concatenation():
    """A span's bytes followed by attributes encoded before are the span with these attributes as well."""
    shared = {"session.id": "s-1", "correlation.id": "c-1"}
    span = make_span(attributes={"http.route": "/"})
    joined = Span.FromString(encode_span(span) + pre_encode(shared))
    expected = Span.FromString(encode_span(span))
    expected.MergeFromString(encode_attributes(shared))
    assert canonical(joined) == canonical(expected)
    assert [pair.key for pair in joined.attributes] == ["http.route", "session.id", "correlation.id"]


@pytest.mark.parametrize("kind", [dict, BoundedAttributes])
def test_attributes_that_grow_meanwhile_are_encoded_as_they_were(kind):
    """Something that adds to the attributes while they are gone through does no harm."""

    class Adding(list):
        def __iter__(self):
            held[f"more {len(held)}"] = 1
            return super().__iter__()

    attributes = {} if kind is dict else BoundedAttributes(immutable=False)
    held = attributes if kind is dict else attributes._dict  # past the copies that a log record's attributes make
    held |= {"a": 1, "b": Adding([1]), "c": 2}
    assert list(decode(attributes)) == ["a", "b", "c"]
    assert list(attributes) == ["a", "b", "c", "more 3"]


def test_threads_get_the_same_bytes_as_one():
    """Eight threads encoding overlapping attributes, past the cache's bound, all get what one alone gets."""
    work = [{"k": f"v{number % 9000}", "n": number % 3000, "b": number % 2 == 0} for number in range(12_000)]
    expected = [encode_attributes(attributes) for attributes in work]
    key_values.clear_caches()
    results: list[list[bytes]] = []
    threads = [
        threading.Thread(target=lambda: results.append([encode_attributes(attributes) for attributes in work]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(result == expected for result in results)


def test_what_is_left_out_is_said_once(caplog, monkeypatch):
    """The first attribute that cannot be sent is named in one line with the reason; a thousand more add none."""
    monkeypatch.setattr(_report, "_reported", set())
    with caplog.at_level(logging.WARNING, "otel_session"):
        for number in range(1000):
            encode_attributes({f"odd.{number}": 2**64})
    (record,) = caplog.records
    assert "odd.0" in record.getMessage()
    assert "64 bits" in record.getMessage()


def test_the_line_about_it_does_not_show_the_value(caplog, monkeypatch):
    """Values may be secret: an error of the value's own making is named by its type alone."""

    class Secret(dict):
        def items(self):
            raise RuntimeError("hunter2")

    monkeypatch.setattr(_report, "_reported", set())
    with caplog.at_level(logging.WARNING, "otel_session"):
        assert encode_attributes({"password": Secret()}) == b""
    assert "hunter2" not in caplog.text
    assert "RuntimeError" in caplog.text
