"""What the store takes in and gives back, as plain data.

A row carries the OTLP bytes of one span, log record or metric (`opentelemetry.proto`) and beside them only what is
looked up; all else is decoded from the bytes when a person opens it.
"""

from __future__ import annotations

from dataclasses import dataclass

FLAG_ERROR = 1
"""The span's status is Error, or the log record's severity is ERROR or above."""
FLAG_REQUEST = 2
"""The span is one request served: its kind is SERVER."""
FLAG_STATEMENT = 4
"""The span is one database statement: kind CLIENT with `db.system.name`."""
FLAG_CONFIRMED = 8
"""The client of this span or record brought its session id back."""


@dataclass(frozen=True, slots=True)
class SpanRow:
    """One finished span. Times are nanoseconds since the epoch (UTC); ids are raw bytes, `b""` where absent."""

    session_id: str | None
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    start_ns: int
    end_ns: int
    name: str
    flags: int
    resource: bytes
    scope: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class LogRow:
    """One log record or event. `severity` is OTLP's number, 0 to 24."""

    session_id: str | None
    trace_id: bytes
    span_id: bytes
    time_ns: int
    severity: int
    event_name: str
    flags: int
    resource: bytes
    scope: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class LogKind:
    """How many log records of one kind a session has: of which scope, events or not, WARN and above or not."""

    scope: bytes
    is_event: bool
    is_warning: bool
    count: int


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric with its data points, as collected at `time_ns`."""

    time_ns: int
    name: str
    resource: bytes
    scope: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One session as listings show it. Counts cover what is still in the store.

    `requests` counts spans flagged FLAG_REQUEST, `failed_requests` those of them with FLAG_ERROR, `statements` those
    with FLAG_STATEMENT, `error_logs` log records with FLAG_ERROR. `first_ns` and `last_ns` are those of its activity:
    events of a session's life do not move them. `resources` are the distinct OTLP Resource bytes seen, oldest first.
    """

    session_id: str
    confirmed: bool
    first_ns: int
    last_ns: int
    spans: int
    requests: int
    failed_requests: int
    statements: int
    logs: int
    error_logs: int
    resources: tuple[bytes, ...]
