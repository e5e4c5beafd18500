"""An operation as a span: what it says, where it belongs, and the same whichever way it is written."""

import asyncio
import threading
from typing import Any

import pytest
from flask import Flask
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBasedTraceIdRatio

import otel_session
from otel_session import bound_session, operations, testing, track_operation
from otel_session.processors import IdentitySpanProcessor
from otel_session.wire.encoders import Branch, EncodingSpanProcessor
from tests.lanes import KeptLane
from tests.operations.conftest import Lines


def _one(telemetry: testing.Captured) -> Any:
    (span,) = telemetry.spans()
    return span


def test_what_it_says(telemetry: testing.Captured) -> None:
    """Its name, kind, ids, metadata with flat names, and how it ended."""
    metadata = {"source": "form", "client": {"age": 7, "password": "hunter2"}, "tags": ["a", "b"]}
    with bound_session("visit-1", correlation_id="one"), track_operation("create", metadata=metadata) as operation:
        operation.add_metadata(client_id=5, source="import")
    span = _one(telemetry)
    assert (span.name, span.kind.name, span.status.status_code.name) == ("create", "INTERNAL", "UNSET")
    assert dict(span.attributes) == {
        "operation.name": "create",
        "operation.outcome": "complete",
        "operation.metadata.source": "import",
        "operation.metadata.client.age": 7,
        "operation.metadata.client.password": "[redacted]",
        "operation.metadata.tags": ("a", "b"),
        "operation.metadata.client_id": 5,
        "session.id": "visit-1",
        "correlation.id": "one",
    }


def test_metadata_on_it_is_bounded(telemetry: testing.Captured) -> None:
    """A span has at most 48 attributes of metadata from its beginning."""
    with track_operation("create", metadata={f"key {n}": n for n in range(60)}):
        pass
    assert len(_one(telemetry).attributes) == 48 + 3


def test_failed(telemetry: testing.Captured) -> None:
    """Status, `error.type` and one exception event."""
    with pytest.raises(KeyError), track_operation("create"):
        raise KeyError("gone")
    span = _one(telemetry)
    assert span.status.status_code.name == "ERROR"
    assert span.attributes["error.type"] == "KeyError"
    assert span.attributes["operation.outcome"] == "failed"
    (event,) = span.events
    assert event.attributes["exception.message"] == "'gone'"
    assert "test_spans.py" in event.attributes["exception.stacktrace"]


def test_exceptions_are_no_span_events_where_that_is_wanted(
    telemetry: testing.Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN=logs ends the events, and the status stays."""
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs")
    with pytest.raises(KeyError), track_operation("create"):
        raise KeyError("gone")
    span = _one(telemetry)
    assert span.events == ()
    assert span.status.status_code.name == "ERROR"


def test_cancelled(telemetry: testing.Captured) -> None:
    """A cancellation is told as such, and is no error."""
    with pytest.raises(asyncio.CancelledError), track_operation("wait"):
        raise asyncio.CancelledError
    span = _one(telemetry)
    assert span.status.status_code.name == "UNSET"
    assert span.attributes["operation.outcome"] == "cancelled"
    assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"


def test_tree(telemetry: testing.Captured) -> None:
    """It belongs to the span around it, and spans made in it belong to it, others' and a helper thread's too."""
    tracer = trace.get_tracer("app", tracer_provider=telemetry.providers["tracer_provider"])

    def help_out() -> None:
        with track_operation("helper"):
            pass

    with tracer.start_as_current_span("around"), track_operation("outer"):
        with tracer.start_as_current_span("own"), track_operation("inner"):
            pass
        thread = threading.Thread(target=help_out)
        thread.start()
        thread.join()
    (around,) = testing.tree(telemetry.spans())
    assert _names(around) == {"around": [{"outer": [{"own": [{"inner": []}]}, {"helper": []}]}]}


def _names(node: Any) -> dict[str, Any]:
    return {node["name"]: [_names(child) for child in node["children"]]}


def test_in_a_request(telemetry: testing.Captured, lines: Lines) -> None:
    """It nests under the server span, has the request's ids, and so have its lines, which name the operation's span."""
    app = Flask(__name__)

    @app.get("/")
    @track_operation("show")
    def show() -> str:
        return otel_session.get_correlation_id() or ""

    otel_session.instrument(app=app, **telemetry.providers)
    shown = app.test_client().get("/").text
    operation, request = telemetry.spans()
    assert operation.parent == request.context
    for key in ("session.id", "correlation.id"):
        assert operation.attributes[key] == request.attributes[key]  # type: ignore[index]
    assert shown == operation.attributes["correlation.id"]  # type: ignore[index]
    ours = [i for i, record in enumerate(lines.records) if record.name == "otel_session.operations"]
    assert {lines.correlation_ids[i] for i in ours} == {shown}
    assert {lines.span_ids[i] for i in ours} == {operation.context.span_id}


def test_a_generator_that_streams_an_answer(telemetry: testing.Captured) -> None:
    """Its operation belongs to the request, and what the server does between two chunks does not belong to it."""
    app = Flask(__name__)

    @track_operation("rows")
    def rows() -> Any:
        yield "a"
        yield "b"

    app.add_url_rule("/", view_func=rows)
    otel_session.instrument(app=app, **telemetry.providers)
    assert app.test_client().get("/").text == "ab"
    rows_span, request = telemetry.spans()
    assert (rows_span.name, request.name) == ("rows", "GET /")
    assert rows_span.parent == request.context


def test_log_records_carry_it(telemetry: testing.Captured, lines: Lines) -> None:
    """The exported records of both lines belong to its span and have its fields."""
    with track_operation("create", metadata={"source": "form"}):
        pass
    span = _one(telemetry)
    records = [found.log_record for found in telemetry.logs()]
    assert [record.body for record in records] == ["create_start", "create_complete"]
    assert {record.span_id for record in records} == {span.context.span_id}
    assert records[1].attributes is not None
    assert records[1].attributes["operation"] == "create"
    assert records[1].attributes["success"] is True
    assert records[1].attributes["metadata"] == {"source": "form"}


def test_the_users_own_attributes(telemetry: testing.Captured) -> None:
    """The current span inside of it is the operation's, a real one."""
    with track_operation("create"):
        trace.get_current_span().set_attribute("mine", 1)
        trace.get_current_span().add_event("happened")
    span = _one(telemetry)
    assert span.attributes["mine"] == 1
    assert [event.name for event in span.events] == ["happened"]


def test_suppressed(telemetry: testing.Captured, lines: Lines) -> None:
    """Where instrumentation is suppressed there is neither span nor measurement; the lines are written."""
    with suppress_instrumentation(), track_operation("quiet"):
        pass
    assert telemetry.spans() == []
    assert telemetry.points("operation.duration") == []
    assert lines.messages == ["quiet_start", "quiet_complete"]


def test_context_given_up_inside(telemetry: testing.Captured) -> None:
    """What the code makes current and never takes back does not outlive the operation."""
    with track_operation("outer"):
        otel_context.attach(otel_context.set_value("left", 1))
        otel_session.set_correlation_id("left-over")
    assert otel_context.get_value("left") is None
    assert otel_session.get_correlation_id() is None


def _written(sampler: Any, *, short: bool) -> list[dict[str, Any]]:
    """What some operations become in our encoder, the short way or, with another processor beside, the long one."""
    provider, lane = TracerProvider(sampler=sampler, shutdown_on_exit=False), KeptLane()
    provider.add_span_processor(IdentitySpanProcessor())
    encoder: Any = EncodingSpanProcessor()
    encoder.add(Branch(lane, None, lambda _ended, _origin, body: body))  # type: ignore[arg-type]
    provider.add_span_processor(encoder)
    if not short:

        class Other(IdentitySpanProcessor):
            adds_only_ids = False

        provider.add_span_processor(Other())
    operations.use_providers(provider)
    try:
        with bound_session("visit-1", correlation_id="one"):
            _some_operations()
    finally:
        operations.use_providers()
    return [_plain(body) for body in lane.put_in]


def _some_operations() -> None:
    with track_operation("plain"):
        pass
    with track_operation("outer", metadata={"a": 1, "deep": {"b": "ü"}}) as outer, track_operation("inner"):
        outer.add_metadata(a=2, c=[1.5])
    for error in (KeyError("gone"), SystemExit(0), GeneratorExit()):
        with pytest.raises(type(error)), track_operation("raising", metadata={"x": True}):
            raise error
    with track_operation("own"):
        trace.get_current_span().set_attribute("operation.name", "mine")


def _plain(body: bytes) -> dict[str, Any]:
    span = Span.FromString(body)
    return {
        "name": span.name,
        "kind": span.kind,
        "root": not span.parent_span_id,
        "status": (span.status.code, span.status.message),
        "attributes": {a.key: str(a.value) for a in span.attributes},
        "count": len(span.attributes),
        "events": [(e.name, [a.key for a in e.attributes]) for e in span.events],
        "flags": span.flags,
    }


def test_short_and_long_way_agree() -> None:
    """Where only our encoder listens the span is written by it alone; nobody can tell the results apart."""
    short, long = _written(ALWAYS_ON, short=True), _written(ALWAYS_ON, short=False)
    assert short == long
    assert [span["name"] for span in short] == ["plain", "inner", "outer", "raising", "raising", "raising", "own"]


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ParentBasedTraceIdRatio(0)])
@pytest.mark.parametrize("short", [True, False])
def test_unsampled(sampler: Any, short: bool, lines: Lines) -> None:
    """An operation that is not sampled leaves no span; its lines are written as ever."""
    assert _written(sampler, short=short) == []
    assert len(lines.messages) == 14


def test_providers_are_put_back() -> None:
    """After `uninstrument()` operations tell the providers given no more."""
    with testing.captured() as captured:
        otel_session.instrument(**captured.providers)
        otel_session.uninstrument()
        with track_operation("later"):
            pass
        assert captured.spans() == []
        assert captured.points("operation.duration") == []
