"""Sessions to write into a real store: rows made of real OTLP messages, with times given in milliseconds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from otel_session import attributes as names
from otel_session.store import TelemetryStore
from otel_session.store.records import (
    FLAG_CONFIRMED,
    FLAG_ERROR,
    FLAG_REQUEST,
    FLAG_STATEMENT,
    LogRow,
    SpanRow,
)

MS = 1_000_000
_IDS = itertools.count(0x44165E571ABD)
START_NS = 1_763_712_723_000_000_000
"""2025-11-21 08:12:03 UTC."""

SERVER, CLIENT, INTERNAL = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_INTERNAL
INFO, WARN, ERROR = 9, 13, 17


def any_value(value: object) -> AnyValue:
    """A plain value as OTLP."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
    return AnyValue(string_value=str(value))


def pairs(attributes: Mapping[str, object]) -> list[KeyValue]:
    """A dict as OTLP key-values."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def resource(service: str = "deals", commit: str = "512fbfe0c1d2e3f4", branch: str = "main", **more: object) -> bytes:
    """A resource with a build."""
    named = {
        names.SERVICE_NAME: service,
        names.VCS_REF_HEAD_REVISION: commit,
        names.VCS_REF_HEAD_NAME: branch,
        names.BUILD_DATE: "2025-11-20 07:26:50 UTC",
    }
    return Resource(attributes=pairs({k: v for k, v in {**named, **more}.items() if v})).SerializeToString()


class Visit:
    """One session's rows. `at` and `took` are milliseconds; `at` counts from the visit's start."""

    def __init__(
        self, session_id: str | None, *, start_ns: int = START_NS, build: bytes | None = None, confirmed: bool = True
    ) -> None:
        self.session_id = session_id
        self.start_ns = start_ns
        self.build = resource() if build is None else build
        self.confirmed = confirmed
        self.spans: list[SpanRow] = []
        self.logs: list[LogRow] = []

    def span(
        self,
        name: str,
        at: float,
        took: float,
        *,
        parent: SpanRow | None = None,
        parent_span_id: bytes = b"",
        kind: Span.SpanKind.ValueType = INTERNAL,
        error: bool = False,
        message: str = "",
        flags: int = 0,
        otlp_flags: int = 0,
        events: list[Span.Event] | None = None,
        attributes: Mapping[str, object] | None = None,
        body: bytes | None = None,
    ) -> SpanRow:
        """Add a span."""
        number = next(_IDS)
        start_ns = self.start_ns + round(at * MS)
        row = SpanRow(
            session_id=self.session_id,
            trace_id=parent.trace_id if parent else number.to_bytes(16, "big"),
            span_id=number.to_bytes(8, "big"),
            parent_span_id=parent.span_id if parent else parent_span_id,
            start_ns=start_ns,
            end_ns=start_ns + round(took * MS),
            name=name,
            flags=flags | (FLAG_ERROR if error else 0) | (FLAG_CONFIRMED if self.confirmed else 0),
            resource=self.build,
            scope=InstrumentationScope(name="otel_session.test").SerializeToString(),
            body=b"",
        )
        message_body = Span(
            trace_id=row.trace_id,
            span_id=row.span_id,
            parent_span_id=row.parent_span_id,
            name=name,
            kind=kind,
            start_time_unix_nano=row.start_ns,
            end_time_unix_nano=row.end_ns,
            flags=otlp_flags,
            attributes=pairs({names.SESSION_ID: self.session_id or "", **(attributes or {})}),
            events=events or [],
            status=Status(code=Status.STATUS_CODE_ERROR, message=message) if error else Status(),
        )
        row = SpanRow(
            *(getattr(row, f) for f in SpanRow.__slots__[:-1]),
            message_body.SerializeToString() if body is None else body,
        )
        self.spans.append(row)
        return row

    def request(
        self,
        method: str,
        route: str,
        at: float,
        took: float,
        *,
        status: int = 200,
        error: bool | None = None,
        parent: SpanRow | None = None,
        attributes: Mapping[str, object] | None = None,
        events: list[Span.Event] | None = None,
    ) -> SpanRow:
        """Add a request served; it failed when its status is 500 or more."""
        named = {
            names.HTTP_REQUEST_METHOD: method,
            names.HTTP_ROUTE: route,
            names.HTTP_RESPONSE_STATUS_CODE: status,
            names.CORRELATION_ID: f"req_{next(_IDS) % 16**12:012x}",
        }
        return self.span(
            f"{method} {route}",
            at,
            took,
            parent=parent,
            kind=SERVER,
            error=status >= 500 if error is None else error,
            flags=FLAG_REQUEST,
            attributes={**named, **(attributes or {})},
            events=events,
        )

    def statement(
        self,
        parent: SpanRow | None,
        summary: str,
        at: float,
        took: float,
        *,
        error: bool = False,
        attributes: Mapping[str, object] | None = None,
        parent_span_id: bytes = b"",
    ) -> SpanRow:
        """Add a database statement."""
        named = {
            names.DB_SYSTEM_NAME: "postgresql",
            names.DB_QUERY_SUMMARY: summary,
            names.DB_QUERY_TEXT: f"{summary.replace(' ', ' * FROM ', 1)} WHERE id = %s",
        }
        return self.span(
            summary,
            at,
            took,
            parent=parent,
            parent_span_id=parent_span_id,
            kind=CLIENT,
            error=error,
            flags=FLAG_STATEMENT,
            attributes={**named, **(attributes or {})},
        )

    def log(
        self,
        span: SpanRow | None,
        message: object,
        at: float,
        *,
        severity: int = INFO,
        event: str = "",
        logger: str = "deals.views",
        attributes: Mapping[str, object] | None = None,
        body: bytes | None = None,
    ) -> LogRow:
        """Add a log record."""
        time_ns = self.start_ns + round(at * MS)
        record = LogRecord(
            time_unix_nano=time_ns,
            severity_number=severity,  # type: ignore[arg-type]  # an enum's number
            body=any_value(message),
            event_name=event,
            attributes=pairs({names.SESSION_ID: self.session_id or "", **(attributes or {})}),
            trace_id=span.trace_id if span else b"",
            span_id=span.span_id if span else b"",
        )
        flags = (FLAG_ERROR if severity >= ERROR else 0) | (FLAG_CONFIRMED if self.confirmed else 0)
        row = LogRow(
            session_id=self.session_id,
            trace_id=record.trace_id,
            span_id=record.span_id,
            time_ns=time_ns,
            severity=severity,
            event_name=event,
            flags=flags,
            resource=self.build,
            scope=InstrumentationScope(name=logger).SerializeToString(),
            body=record.SerializeToString() if body is None else body,
        )
        self.logs.append(row)
        return row


def exception_event(at: float, kind: str, message: str, stacktrace: str = "") -> Span.Event:
    """An exception on a span, as the SDK records it."""
    named = {names.EXCEPTION_TYPE: kind, names.EXCEPTION_MESSAGE: message, names.EXCEPTION_STACKTRACE: stacktrace}
    return Span.Event(time_unix_nano=START_NS + round(at * MS), name=names.EVENT_EXCEPTION, attributes=pairs(named))


def exception(kind: str, message: str, stacktrace: str = "") -> dict[str, object]:
    """An exception on a log record."""
    named = {names.EXCEPTION_TYPE: kind, names.EXCEPTION_MESSAGE: message, names.EXCEPTION_STACKTRACE: stacktrace}
    return {key: value for key, value in named.items() if value}


def believable_visit(session_id: str, *, start_ns: int = START_NS, build: bytes | None = None) -> Visit:
    """Eight requests of a person who signs in, looks around, waits for a slow report and meets a broken one."""
    visit = Visit(session_id, start_ns=start_ns, build=build)
    visit.log(None, "", -200, event=names.EVENT_SESSION_START, logger="otel_session")
    page = visit.request("GET", "/login", 0, 3.1)
    page = visit.request("POST", "/login", 4_210, 62.4, status=302)
    visit.statement(page, "SELECT user", 4_211, 0.81)
    visit.log(page, "user 3 signed in", 4_270)
    page = visit.request("GET", "/deals", 4_300, 14.9)
    visit.span(names.SPAN_APP_SESSION_LOAD, 4_300.2, 0.4, parent=page)
    visit.statement(page, "SELECT user", 4_301, 0.62)
    visit.statement(page, "SELECT deal user", 4_303, 2.3)
    visit.log(page, "listed 40 deals", 4_306)
    page = visit.request("GET", "/deals/<int:deal_id>", 9_800, 31.7, attributes={names.URL_PATH: "/deals/17"})
    visit.statement(page, "SELECT deal", 9_801, 0.7)
    for number in range(12):
        visit.statement(page, "SELECT note", 9_803 + 2 * number, 1.1)
    page = visit.request("POST", "/deals/<int:deal_id>/notes", 31_000, 9.4, status=302)
    visit.statement(page, "INSERT note", 31_001, 1.2)
    visit.log(page, "added a note to deal 17", 31_005)
    scored = visit.span("score_deal", 31_020, 18.0, parent=page)
    visit.log(scored, "deal 17 scores 0.82", 31_036, logger="deals.scoring")
    visit.request("GET", "/deals/999", 45_000, 2.2, status=404)
    page = visit.request("GET", "/reports/slow", 60_000, 1_240)
    visit.statement(page, "SELECT pg_sleep", 60_003, 801)
    visit.statement(page, "SELECT deal", 60_805, 4)
    for number in range(40):
        visit.statement(page, "SELECT user" if number % 3 == 0 else "SELECT position", 60_810 + 7 * number, 5.2)
    visit.log(page, "slow report: 40 deals took 1.23 s", 61_230, severity=WARN, logger="deals.views.reports")
    page = visit.request("GET", "/reports/broken", 192_400, 14.1, status=500)
    visit.statement(page, "SELECT deal", 192_402, 1.9)
    visit.log(page, "averaging day rates", 192_405, logger="deals.views.reports")
    trace = 'Traceback (most recent call last):\n  File "reports.py", line 58\nZeroDivisionError: division by zero'
    visit.log(
        page,
        "Exception on /reports/broken [GET]",
        192_412,
        severity=ERROR,
        logger="deals",
        attributes=exception("ZeroDivisionError", "division by zero", trace),
    )
    return visit


def stored(path: Path, *visits: Visit) -> Path:
    """Write visits to a new store; returns its path."""
    store = TelemetryStore(path, max_bytes=512 * 1024 * 1024, max_age_s=100 * 365 * 86_400)
    for visit in visits:
        store.write(spans=visit.spans, logs=visit.logs, metrics=[])
    store.close()
    return path
