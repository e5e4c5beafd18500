"""The span of a request that goes the short way cannot be told from one of the SDK's."""

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    ParentBasedTraceIdRatio,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from werkzeug.middleware.proxy_fix import ProxyFix

import otel_session
from otel_session import attributes as names
from otel_session.processors import IdentitySpanProcessor
from otel_session.wire import encode_attributes
from otel_session.wire.encoders import Branch, EncodingSpanProcessor
from otel_session.wire.entries import Dropped, EntryMaker, EntrySpan, Part
from otel_session.wire.leaves import Leaf
from otel_session.wire.short_way import ShortWay
from tests.instrumentors.flask.served import make_app
from tests.lanes import KeptLane

FIRST = {"http.request.method": "GET", "server.port": 80, "url.path": "/ü", "odd": True}
LAST = {"http.response.status_code": 200, "http.route": "/deals/<int:deal_id>"}


def _provider(**kwargs: Any) -> tuple[TracerProvider, KeptLane]:
    provider, lane = TracerProvider(shutdown_on_exit=False, **kwargs), KeptLane()
    provider.add_span_processor(IdentitySpanProcessor())
    encoder: Any = EncodingSpanProcessor()
    encoder.add(Branch(lane, None, lambda ended, _origin, body: (ended, body)))  # type: ignore[arg-type]
    provider.add_span_processor(encoder)
    return provider, lane


def _part(attributes: dict[str, Any]) -> Part:
    return Part(attributes, encode_attributes(attributes))


def _maker(provider: TracerProvider) -> EntryMaker:
    return EntryMaker(ShortWay(provider.get_tracer("t")))


def _entry(maker: EntryMaker, context: Context | None = None, links: Sequence[Link] = ()) -> Any:
    return maker.start(
        "GET", SpanKind.SERVER, context or Context(), lambda: (_part(FIRST),), "session-1", confirmed=True, links=links
    )


def _plain(body: bytes) -> Span:
    span = Span.FromString(body)
    span.ClearField("trace_id")
    span.ClearField("span_id")
    span.ClearField("start_time_unix_nano")
    for event in span.events:
        event.ClearField("time_unix_nano")
    return span


def _fail(span: Any) -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        span.record_exception(error, attributes={"deal": 7})


STEPS: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda span: None,
    "attribute": lambda span: span.set_attribute("mine", [1, 2]),
    "attribute of ours": lambda span: span.set_attribute("url.path", "/other"),
    "attributes": lambda span: span.set_attributes({"a": 1.5, "odd": False, "bad": object()}),
    "event": lambda span: span.add_event("e", {"k": "v"}),
    "exception": _fail,
    "link": lambda span: span.add_link(SpanContext(5, 6, True), {"l": 1}),
    "ok": lambda span: span.set_status(StatusCode.OK),
    "error": lambda span: span.set_status(Status(StatusCode.ERROR)),
    "error and why": lambda span: span.set_status(Status(StatusCode.ERROR, "why")),
    "name": lambda span: span.update_name("GET /deals"),
    "read": lambda span: (span.attributes, span.events, span.links, span.to_json()),
    "dropped": lambda span: (span.dropped_attributes, span.dropped_events, span.dropped_links),
}


LINKS = (Link(SpanContext(7, 8, False)), Link(SpanContext(9, 10, True), {"why": "before"}))


def _check_equal(steps: list[str], end_ns: int = 10**18, links: Sequence[Link] = ()) -> None:
    ours, ours_lane = _provider()
    theirs, their_lane = _provider()
    entry = _entry(_maker(ours), links=links)
    real: Any = theirs.get_tracer("t").start_span("GET", Context(), SpanKind.SERVER, attributes=FIRST, links=links)
    assert type(entry) is EntrySpan
    assert isinstance(entry, type(real).__mro__[1])
    assert isinstance(entry, ReadableSpan)
    for step in steps:
        STEPS[step](entry)
        STEPS[step](real)
    entry.tell(_part(LAST))
    real.set_attributes(LAST)
    entry.end(end_ns)
    real.end(end_ns)
    assert _plain(ours_lane.put_in[0][1]) == _plain(their_lane.put_in[0][1]), steps
    for name in ("name", "kind", "end_time", "parent"):
        assert getattr(entry, name) == getattr(real, name), (steps, name)
    assert dict(entry.attributes) == dict(real.attributes)
    assert [e.name for e in entry.events] == [e.name for e in real.events]
    assert [(i.context, i.attributes) for i in entry.links] == [(i.context, i.attributes) for i in real.links]
    assert entry.is_recording() is real.is_recording() is False


@pytest.mark.parametrize("step", STEPS)
def test_equals_a_span_of_the_sdk(step: str) -> None:
    """Whatever an application does with its request's span, what is sent and what it reads is what the SDK gives."""
    _check_equal([step])


@pytest.mark.parametrize("step", STEPS)
def test_equals_a_span_of_the_sdk_with_links(step: str) -> None:
    """So it does when the span was started with links."""
    _check_equal([step], links=LINKS)


def test_equals_a_span_of_the_sdk_whatever_is_done() -> None:
    """So do five hundred random sequences of up to six steps."""
    choice = random.Random(20261121)
    for _ in range(500):
        _check_equal(choice.choices(list(STEPS), k=choice.randrange(7)))


def test_goes_the_short_way() -> None:
    """A span that nobody touches is encoded from its parts; one that somebody reads is encoded from its attributes."""
    provider, lane = _provider()
    maker = _maker(provider)
    _entry(maker).end()
    touched = _entry(maker)
    touched.set_attribute("mine", 1)
    touched.end()
    assert [type(ended) is Leaf for ended, _ in lane.put_in] == [True, False]
    leaf = lane.put_in[0][0]
    assert (leaf.session_id, leaf.confirmed, leaf.kind, leaf.parent_span_id) == (
        "session-1",
        True,
        SpanKind.SERVER,
        b"",
    )


def test_ends_once(caplog: pytest.LogCaptureFixture) -> None:
    """A second end, and what is set after the end, is refused as the SDK does, with its own words."""
    provider, lane = _provider()
    span = _entry(_maker(provider))
    span.end(5)
    with caplog.at_level(logging.WARNING, "opentelemetry"):
        span.end(6)
        span.set_attribute("late", 1)
        span.tell(_part(LAST))
        span.add_event("late")
    assert len(lane.put_in) == 1
    assert span.end_time == 5
    assert dict(span.attributes) == FIRST
    assert not span.events
    assert len(caplog.records) == 4
    with pytest.raises(TypeError):
        span.attributes["late"] = 1


@contextmanager
def _current(span: Any) -> Iterator[None]:
    with trace.use_span(span, end_on_exit=True):
        yield


def test_an_exception_in_the_block_is_recorded() -> None:
    """`use_span` and `with span` record exceptions on it as on any span."""
    provider, lane = _provider()
    with pytest.raises(ValueError, match="no"), _current(_entry(_maker(provider))):
        raise ValueError("no")
    span = Span.FromString(lane.put_in[0][1])
    assert (span.events[0].name, span.status.code) == ("exception", 2)


REMOTE = SpanContext(7, 8, True, TraceFlags(1), TraceState([("k", "v")]))


@pytest.mark.parametrize(
    ("sampler", "parent", "kind"),
    [
        (ALWAYS_ON, None, EntrySpan),
        (ALWAYS_ON, REMOTE, EntrySpan),
        (ParentBased(ALWAYS_ON), REMOTE, EntrySpan),
        (ParentBased(ALWAYS_ON), SpanContext(7, 8, False, TraceFlags(1)), EntrySpan),
        (ParentBased(ALWAYS_ON), SpanContext(7, 8, True, TraceFlags(0)), None),
        (ParentBased(ALWAYS_ON, remote_parent_sampled=ALWAYS_OFF), REMOTE, None),
        (ParentBased(ALWAYS_OFF), None, None),
        (ParentBasedTraceIdRatio(0.0), None, Dropped),
        (ParentBasedTraceIdRatio(1.0), None, EntrySpan),
        (TraceIdRatioBased(1.0), None, None),
    ],
)
def test_samplers_and_parents(sampler: Any, parent: SpanContext | None, kind: Any) -> None:
    """The sampler's word holds; where its answer is not known beforehand, it is asked the long way."""
    provider, lane = _provider(sampler=sampler)
    context = Context() if parent is None else trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())
    span = _entry(_maker(provider), context)
    real = provider.get_tracer("t").start_span("GET", context, SpanKind.SERVER, attributes=FIRST)
    assert (type(span) if span else None) is kind
    if kind is None:
        return
    known, expected = span.get_span_context(), real.get_span_context()
    assert (known.trace_flags, known.is_remote, known.is_valid) == (expected.trace_flags, False, True)
    assert known.trace_state == expected.trace_state
    assert known is span.get_span_context() is span._context
    if kind is EntrySpan:
        span.end(10**18)
        real.end(10**18)
        ours, theirs = (_plain(body) for _, body in lane.put_in)
        assert ours == theirs


def test_a_ratio_is_kept() -> None:
    """A parent-based ratio drops the same traces as the SDK would, by the trace id."""
    sampler = ParentBasedTraceIdRatio(0.3)
    maker = _maker(_provider(sampler=sampler)[0])
    kept = 0
    for _ in range(2_000):
        span = _entry(maker)
        sampled = bool(span.get_span_context().trace_flags & TraceFlags.SAMPLED)
        decided = sampler.should_sample(None, span.get_span_context().trace_id, "GET").decision.is_sampled()
        assert sampled is decided
        kept += sampled
    assert 500 < kept < 700


class _Foreign(SpanProcessor):
    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def on_end(self, span: Any) -> None:
        self.seen.append((span.name, dict(span.attributes)))


def test_a_processor_added_while_it_is_open_gets_it() -> None:
    """A processor that comes in the middle of a request is given the request's span, with all its attributes."""
    provider, lane = _provider()
    foreign = _Foreign()
    maker = _maker(provider)
    span = _entry(maker)
    provider.add_span_processor(foreign)
    span.tell(_part(LAST))
    span.end()
    assert foreign.seen == [("GET", FIRST | LAST)]
    assert len(lane.put_in) == 1
    assert _entry(maker) is None


@pytest.mark.parametrize("limits", [SpanLimits(max_attribute_length=5), SpanLimits(max_span_attributes=2)])
def test_limits_go_the_long_way(limits: SpanLimits) -> None:
    """Limits on attributes are the SDK's business."""
    assert _entry(_maker(_provider(span_limits=limits)[0])) is None


def test_the_sdk_counting_its_spans_goes_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the SDK's own metrics on, it starts every span itself."""
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    provider, _ = _provider()
    if not hasattr(provider.get_tracer("t"), "_tracer_metrics"):
        pytest.skip("this SDK does not count its spans")
    assert _entry(_maker(provider)) is None


def test_a_field_that_is_not_known_goes_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK whose spans have a field more than those known here makes them itself."""
    from otel_session.wire import entries

    original = entries._Span.__init__

    def more(span: Any, *args: Any, **kwargs: Any) -> None:
        original(span, *args, **kwargs)
        span._something_new = []

    monkeypatch.setattr(entries._Span, "__init__", more)
    assert _entry(_maker(_provider()[0])) is None


def _requests(provider: TracerProvider, *, proxied: bool) -> None:
    otel_session.instrument(tracer_provider=provider)
    try:
        app = make_app()
        if proxied:
            app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
        app.add_url_rule("/fail", "fail", lambda: 1 / 0)
        client = app.test_client()
        for path in ("/", "/deals/1?q=ü&password=x", "/none", "/fail", "/deals/1"):
            client.get(path, headers={"User-Agent": "tester/1", "X-Forwarded-For": "1.2.3.4"})
    finally:
        otel_session.uninstrument()


def _told(lane: KeptLane) -> list[Any]:
    told = []
    for _, body in lane.put_in:
        span = _plain(body)
        span.ClearField("end_time_unix_nano")
        for attribute in span.attributes:
            if attribute.key in (names.SESSION_ID, names.CORRELATION_ID):
                attribute.value.string_value = "an id"
        for event in span.events:
            del event.attributes[:]
        told.append(span)
    return told


@pytest.mark.parametrize("proxied", [False, True])
def test_requests_of_an_application_are_the_same_either_way(proxied: bool) -> None:
    """Flask requests, good and failing, decode to the same with a foreign processor beside ours and without."""
    short_provider, short = _provider()
    _requests(short_provider, proxied=proxied)
    long_provider, long = _provider()
    foreign = _Foreign()
    long_provider.add_span_processor(foreign)
    _requests(long_provider, proxied=proxied)
    assert [type(ended) is Leaf for ended, _ in short.put_in] == [True, True, True, False, True]
    assert not any(type(ended) is Leaf for ended, _ in long.put_in)
    assert _told(short) == _told(long)
    address = {a.key: a.value.string_value for a in _told(short)[0].attributes}[names.CLIENT_ADDRESS]
    assert address == ("1.2.3.4" if proxied else "127.0.0.1")
    assert len(foreign.seen) == 5
