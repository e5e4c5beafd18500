"""Ids onto every span and log record, third parties' too; and values of statements out of their exceptions."""

import logging
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

import otel_session
from otel_session import _guard, testing
from otel_session import context as here
from otel_session.context import Identity
from otel_session.processors import IdentityLogProcessor, IdentitySpanProcessor


def tracer_of(telemetry: testing.Captured) -> Any:
    return telemetry.providers["tracer_provider"].get_tracer("somebody.else")


def only(telemetry: testing.Captured) -> dict[str, Any]:
    (span,) = telemetry.spans()
    return dict(span.attributes or {})


def test_ids_on_spans(telemetry: testing.Captured) -> None:
    """A third party's span in a session carries both ids, and the user's when it is known; outside, none."""
    with otel_session.bound_session("visit-1") as identity:
        identity.set_user("user.hash", "abc")
        tracer_of(telemetry).start_span("inside").end()
    tracer_of(telemetry).start_span("outside").end()
    inside, outside = telemetry.spans()
    expected = {"session.id": "visit-1", "correlation.id": identity.correlation_id, "user.hash": "abc"}
    assert dict(inside.attributes or {}) == expected
    assert not outside.attributes


def test_the_parent_context_counts(telemetry: testing.Captured) -> None:
    """A span started with a context given belongs to that context's user, not to the current one's."""
    other = here.put(Identity("visit-2"))
    with otel_session.bound_session("visit-1"):
        tracer_of(telemetry).start_span("s", context=other).end()
    assert only(telemetry)["session.id"] == "visit-2"


def test_never_overwritten(telemetry: testing.Captured) -> None:
    """An id that is already on a span stays; what is missing beside it is added."""
    with otel_session.bound_session("visit-1") as identity:
        tracer_of(telemetry).start_span("s", attributes={"session.id": "theirs"}).end()
    assert only(telemetry) == {"session.id": "theirs", "correlation.id": identity.correlation_id}


def test_server_spans_say_more(telemetry: testing.Captured) -> None:
    """On the request's own span it is said whether the client came back, and which session this one continues."""
    identity = Identity("visit-2", previous_id="visit-1", confirmed=True)
    context = here.put(identity)
    tracer_of(telemetry).start_span("server", context=context, kind=SpanKind.SERVER).end()
    tracer_of(telemetry).start_span("inside", context=context).end()
    server, inside = (dict(span.attributes or {}) for span in telemetry.spans())
    assert server["session.previous_id"] == "visit-1"
    assert server["otel_session.session.confirmed"] is True
    assert set(inside) == {"session.id", "correlation.id"}


def test_no_session_only_correlation(telemetry: testing.Captured) -> None:
    """Without a session the correlation id alone is put on."""
    identity = Identity(None)
    tracer_of(telemetry).start_span("s", context=here.put(identity)).end()
    assert only(telemetry) == {"correlation.id": identity.correlation_id}


def test_added_once(telemetry: testing.Captured) -> None:
    """Switching on again adds no second processor, and switching off takes ours away and leaves the others."""
    otel_session.instrument(**telemetry.providers)
    spans = telemetry.providers["tracer_provider"]._active_span_processor
    logs = telemetry.providers["logger_provider"]._multi_log_record_processor
    kinds = [type(p).__name__ for p in (*spans._span_processors, *logs._log_record_processors)]
    assert kinds.count("IdentitySpanProcessor") == kinds.count("IdentityLogProcessor") == 1
    otel_session.uninstrument()
    kinds = [type(p).__name__ for p in (*spans._span_processors, *logs._log_record_processors)]
    assert kinds == ["SimpleSpanProcessor", "SimpleLogRecordProcessor"]


def test_in_time_for_a_simple_processor() -> None:
    """Ids are on a log record before an exporter that takes it at once, though that one was there first."""
    seen: list[dict[str, Any]] = []

    class AtOnce(InMemoryLogRecordExporter):
        def export(self, batch: Any) -> Any:
            seen.extend(dict(found.log_record.attributes or {}) for found in batch)
            return super().export(batch)

    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(AtOnce()))  # type: ignore[no-untyped-call]
    otel_session.instrument(logger_provider=provider, tracer_provider=trace.NoOpTracerProvider())
    try:
        with otel_session.bound_session("visit-1"):
            provider.get_logger("theirs").emit(LogRecord(body="x", severity_number=SeverityNumber.INFO))
    finally:
        otel_session.uninstrument()
        provider.shutdown()
    assert [attributes["session.id"] for attributes in seen] == ["visit-1"]


@pytest.mark.parametrize("given", [None, {}, {"session.id": "theirs", "own": 1}, {f"k{i}": i for i in range(128)}])
def test_log_records(telemetry: testing.Captured, given: dict[str, Any] | None) -> None:
    """A third party's record gets what is missing, by the record's own context; how many were dropped stays known."""
    context = here.put(Identity("visit-2", "req-2"))
    with otel_session.bound_session("visit-1"):
        telemetry.providers["logger_provider"].get_logger("theirs").emit(
            LogRecord(context=context, body="x", attributes=given)
        )
    (found,) = [log for log in telemetry.logs() if log.instrumentation_scope.name == "theirs"]
    attributes = dict(found.log_record.attributes or {})
    assert attributes["session.id"] == ("theirs" if given and "own" in given else "visit-2")
    assert attributes["correlation.id"] == "req-2"
    assert len(attributes) <= 128
    assert found.dropped_attributes == max(0, len(given or {}) + 2 - 128)


def failing(message: str, recorded: bool = True) -> Any:
    """A span as an official instrumentation leaves it that records an exception and says it in the status."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False, span_limits=SpanLimits(max_events=3))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.add_span_processor(IdentitySpanProcessor())
    span = provider.get_tracer("theirs").start_span("s")
    span.add_event("harmless", {"n": 1})
    if recorded:
        span.record_exception(RuntimeError(message))
    span.set_status(Status(StatusCode.ERROR, f"RuntimeError: {message}"))
    span.end()
    provider.shutdown()
    (found,) = exporter.get_finished_spans()
    return found


SQL = (
    "(sqlite3.IntegrityError) UNIQUE constraint failed: users.email\n[SQL: INSERT INTO users VALUES (?)]\n"
    "[parameters: ('hunter2',)]\n(Background on this error at: https://sqlalche.me/e/20/gkpj)"
)


def test_values_leave_others_exceptions() -> None:
    """The values of a statement in an exception that somebody else recorded are gone before any exporter sees it."""
    span = failing(SQL)
    said = repr([dict(event.attributes or {}) for event in span.events]) + str(span.status.description)
    assert "hunter2" not in said
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["harmless", "exception"]
    assert dict(span.events[0].attributes) == {"n": 1}
    assert span.events[1].attributes["exception.type"] == "RuntimeError"


def test_harmless_exceptions_stay_as_they_are() -> None:
    """An exception without such values is not touched."""
    span = failing("the shop is closed")
    assert span.status.description == "RuntimeError: the shop is closed"
    assert span.events[1].attributes["exception.message"] == "the shop is closed"
    assert "RuntimeError: the shop is closed" in span.events[1].attributes["exception.stacktrace"]


def test_a_failure_of_ours_stays_here(
    telemetry: testing.Captured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When our processors fail, spans and records go out without ids, and one line for each place says so."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("ours")

    monkeypatch.setattr(_guard, "_reported", set())
    monkeypatch.setattr("otel_session.processors.here.current", broken)
    logger = telemetry.providers["logger_provider"].get_logger("theirs")
    for _ in range(3):
        tracer_of(telemetry).start_span("s").end()
        logger.emit(LogRecord(body="x", context=otel_context.get_current()))
    assert len(telemetry.spans()) == 3
    places = [record.args[0] for record in caplog.records if record.levelno == logging.WARNING and record.args]
    assert len([log for log in telemetry.logs() if log.instrumentation_scope.name == "theirs"]) == 3
    assert sorted(places) == ["IdentityLogProcessor.on_emit", "IdentitySpanProcessor.on_start", "LoggingInstrumentor"]


def test_they_hold_nothing() -> None:
    """Flushing and shutting our processors down is nothing and answers at once."""
    assert IdentitySpanProcessor().force_flush()
    assert IdentityLogProcessor().force_flush()
    IdentitySpanProcessor().shutdown()
    IdentityLogProcessor().shutdown()
