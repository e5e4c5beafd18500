"""Finished spans, made by a real tracer from what hypothesis draws."""

from __future__ import annotations

from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Status, StatusCode, Tracer, set_span_in_context

from . import strategies as our


class FixedIds(IdGenerator):
    """Gives the ids it was made with."""

    def __init__(self, trace_id: int, span_id: int) -> None:
        self.trace_id, self.span_id = trace_id, span_id

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


def make_provider(**settings: object) -> tuple[TracerProvider, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False, **{"resource": Resource({}), **settings})
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def make_span(name: str = "GET /users/<id>", *, parent: SpanContext | None = None, **options: object) -> ReadableSpan:
    """Start and end one span with a real tracer."""
    provider, exporter = make_provider()
    context = set_span_in_context(NonRecordingSpan(parent)) if parent else None
    provider.get_tracer("tests").start_span(name, context=context, **options).end()
    return exporter.get_finished_spans()[0]


@st.composite
def finished_spans(draw: st.DrawFn) -> ReadableSpan:
    provider, exporter = make_provider(
        resource=draw(our.resources),
        id_generator=FixedIds(draw(our.trace_ids), draw(our.span_ids)),
        span_limits=SpanLimits(
            max_span_attributes=draw(our.limits),
            max_event_attributes=draw(our.limits),
            max_link_attributes=draw(our.limits),
            max_events=draw(our.limits),
            max_links=draw(our.limits),
            max_attribute_length=draw(our.limits),
        ),
    )
    scope = draw(our.scopes)
    tracer = provider.get_tracer(scope.name, scope.version, schema_url=scope.schema_url, attributes=scope.attributes)
    _run_span(draw, tracer)
    return exporter.get_finished_spans()[0]


def _run_span(draw: st.DrawFn, tracer: Tracer) -> None:
    parent = draw(st.one_of(st.none(), our.contexts))
    links = st.builds(Link, our.contexts, our.attributes)
    span = tracer.start_span(
        draw(our.texts),
        context=set_span_in_context(NonRecordingSpan(parent)) if parent else None,
        kind=draw(our.kinds),
        attributes=draw(our.attributes),
        links=draw(st.lists(links, max_size=3)),
        start_time=draw(our.times_ns),
    )
    for key, value in draw(our.attributes).items():
        span.set_attribute(key, value)
    for _ in range(draw(st.integers(0, 3))):
        span.add_event(draw(our.texts), draw(our.attributes), draw(our.times_ns))
    code = draw(our.codes)
    span.set_status(Status(code, draw(our.texts) if code is StatusCode.ERROR else None))
    span.end(draw(our.times_ns))
