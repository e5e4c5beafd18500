"""The SDK's private names: a short cut that nobody can tell, and that may go away."""

from __future__ import annotations

import subprocess
import sys
from types import MappingProxyType

import pytest
from hypothesis import given
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan

from otel_session.wire import _sdk, encode_attributes, encode_span

from . import strategies as our
from .made_spans import finished_spans, make_span
from .official import decoded_span, official_trace_request, our_trace_request


def test_the_short_way_is_open_on_this_sdk():
    """The installed SDK has the names, so spans are read the quick way."""
    assert _sdk.span_names_hold
    assert _sdk.attribute_names_hold


@pytest.fixture(scope="class")
def _public_names_only():
    held = _sdk.span_names_hold, _sdk.attribute_names_hold
    _sdk.span_names_hold = _sdk.attribute_names_hold = False
    yield
    _sdk.span_names_hold, _sdk.attribute_names_hold = held


@pytest.mark.usefixtures("_public_names_only")
class TestWithoutThem:
    @our.fewer
    @given(finished_spans())
    def test_public_properties_give_the_same_span(self, span):
        """With every private name out of use a span is sent as officially all the same."""
        assert our_trace_request([span]) == official_trace_request([span])

    def test_bounded_attributes_are_read_by_their_copy(self):
        """Attributes that are still being written are copied, not gone through live."""
        assert encode_attributes(BoundedAttributes(attributes={"a": 1})) == encode_attributes({"a": 1})


RENAMED = """
import opentelemetry.sdk.trace as trace
from opentelemetry.attributes import BoundedAttributes
class Slot:
    def __set_name__(self, owner, name): self.name = "moved" + name
    def __get__(self, it, owner=None): raise AttributeError(self.name)
    def __set__(self, it, value): it.__dict__[self.name] = value
slot = trace.ReadableSpan._parent = Slot()
slot.__set_name__(None, "_parent")
trace.ReadableSpan.parent = property(lambda span: span.__dict__["moved_parent"])
from otel_session.wire import _sdk, encode_span
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanContext
assert not _sdk.span_names_hold
context = SpanContext(1, 2, is_remote=False)
span = trace.ReadableSpan("s", context=context, parent=SpanContext(1, 3, is_remote=True), resource=Resource({}))
assert bytes(7) + b"\\x03" in encode_span(span)
"""


def test_a_name_that_has_moved_is_noticed_at_import():
    """When the SDK renames a private attribute, spans are read by public properties from the start."""
    done = subprocess.run([sys.executable, "-c", RENAMED], timeout=30, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_subclass_that_hides_something_is_believed():
    """A processor may hand on a span that overrides a property; the override is what is sent."""

    class Redacted(ReadableSpan):
        @property
        def attributes(self):
            return MappingProxyType({"password": "***"})

    real = make_span(attributes={"password": "hunter2"})
    span = Redacted("s", real.context, resource=real.resource)
    vars(span).update(vars(real))
    assert b"hunter2" not in encode_span(span)
    assert b"***" in encode_span(span)


def test_attributes_a_processor_replaced_are_what_is_sent():
    """A processor that puts a dictionary of its own into a finished span is believed, as officially."""
    span = make_span(attributes={"password": "hunter2"})
    span._attributes = {"password": "***"}
    assert [pair.value.string_value for pair in decoded_span(span).attributes] == ["***"]
    assert our_trace_request([span]) == official_trace_request([span])
