"""Requests: many messages framed against the official encoder's requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from otel_session.wire import Origin, encode_resource, encode_scope, encode_span, frame_request, origin_of

from . import strategies as our
from .official import official_trace_request, our_trace_request

RESOURCES = [
    Resource({}),
    Resource({"service.name": "shop"}),
    Resource({"service.name": "shop"}, "https://example.org/1"),
    Resource({"flag": True}),
    Resource({"flag": 1}),
]
SCOPES = [
    None,
    InstrumentationScope("a"),
    InstrumentationScope("a", "1.0"),
    InstrumentationScope("a", "1.0", "https://example.org/2", {"x": 1}),
    InstrumentationScope("a", "1.0", "https://example.org/2"),
]
spans = st.builds(
    lambda resource, scope, name: ReadableSpan(
        name, SpanContext(1, 2, is_remote=False), resource=resource, instrumentation_scope=scope
    ),
    st.sampled_from(RESOURCES),
    st.sampled_from(SCOPES),
    st.sampled_from("abc"),
)


@our.many
@given(st.lists(spans, max_size=12))
def test_a_batch_is_grouped_as_the_official_encoder_groups_it(batch):
    """Spans of the same resource and scope go under one heading, in order of first appearance.

    Resources and scopes that differ in a schema URL, or in True against 1, stay apart.
    """
    assert our_trace_request(batch) == official_trace_request(batch)


@our.many
@given(our.resources, our.scopes)
def test_resources_and_scopes_decode_to_what_the_official_encoder_gives(resource, scope):
    """Attributes of any kind, versions, names and schema URLs of resource and scope are sent as officially."""
    span = ReadableSpan("s", SpanContext(1, 2, is_remote=False), resource=resource, instrumentation_scope=scope)
    assert our_trace_request([span]) == official_trace_request([span])


@pytest.mark.parametrize(
    ("request_type", "of_resource", "of_scope", "item"),
    [
        (ExportTraceServiceRequest, "resource_spans", "scope_spans", "spans"),
        (ExportLogsServiceRequest, "resource_logs", "scope_logs", "log_records"),
        (ExportMetricsServiceRequest, "resource_metrics", "scope_metrics", "metrics"),
    ],
)
def test_one_frame_serves_all_three_signals(request_type, of_resource, of_scope, item):
    """The requests of the three signals have the same field numbers at each level, schema URLs included."""
    origin = origin_of(Resource({"a": 1}, "https://r"), InstrumentationScope("n", "v", "https://s"))
    request = request_type.FromString(frame_request([(origin, [b"", b""]), (origin, [b""])]))
    (resource,) = getattr(request, of_resource)
    (scope,) = getattr(resource, of_scope)
    assert (resource.schema_url, scope.schema_url) == ("https://r", "https://s")
    assert (resource.resource.attributes[0].key, scope.scope.name, scope.scope.version) == ("a", "n", "v")
    assert len(getattr(scope, item)) == 3


def test_no_items_make_an_empty_request():
    """A request with nothing in it is no bytes at all."""
    assert frame_request([]) == b""


def test_a_schema_url_that_is_no_unicode_does_not_break_the_request():
    """A lone surrogate in a schema URL is replaced."""
    origin = Origin(b"", "https://\ud800", b"", "\udfff")
    (resource,) = ExportTraceServiceRequest.FromString(frame_request([(origin, [])])).resource_spans
    assert (resource.schema_url, resource.scope_spans[0].schema_url) == ("https://\ufffd", "\ufffd")


def test_an_origin_is_encoded_once_while_it_is_in_use():
    """The same resource and scope give the same object, which is what makes grouping cheap."""
    resource, scope = Resource({"a": 1}), InstrumentationScope("n")
    assert origin_of(resource, scope) is origin_of(resource, scope)


def test_equal_resources_share_an_origin_and_unequal_ones_do_not():
    """Origins compare by what is sent: equal content is equal, True and 1 are not."""
    scope = InstrumentationScope("n")
    assert origin_of(Resource({"a": 1}), scope) == origin_of(Resource({"a": 1}), InstrumentationScope("n"))
    assert origin_of(Resource({"a": 1}), scope) != origin_of(Resource({"a": True}), scope)
    assert origin_of(Resource({}, "x"), scope) != origin_of(Resource({}, "y"), scope)


def test_resources_that_differ_only_in_what_cannot_be_sent_go_together():
    """Grouping is by what is sent. The official encoder groups by objects, and sends the same resource twice here."""
    resources = [Resource({"a": 1}), Resource({"a": 1, "wide": 2**64})]
    batch = [ReadableSpan("s", SpanContext(1, 2, is_remote=False), resource=resource) for resource in resources]
    (resource,) = ExportTraceServiceRequest.FromString(our_trace_request(batch)).resource_spans
    assert len(resource.scope_spans[0].spans) == 2


def test_short_lived_resources_never_get_each_others_bytes():
    """Ids of objects that are gone are used again; origins kept by id are not mixed up, past the cache's bound."""
    for number in range(2000):
        scope = InstrumentationScope(f"scope {number}")
        assert origin_of(Resource({"n": number}), scope)[::2] == (
            encode_resource(Resource({"n": number})),
            encode_scope(scope),
        )


def test_framing_keeps_messages_as_they_are():
    """The request holds a span's bytes unchanged, so that a store may keep the very same."""
    span = ReadableSpan("s" * 300, SpanContext(1, 2, is_remote=False), resource=Resource({}))
    encoded = encode_span(span)
    assert encoded in frame_request([(origin_of(span.resource, None), [encoded])])
