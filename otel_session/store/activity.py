"""What one batch of rows adds to its sessions' summary rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from otel_session.attributes import EVENT_SESSION_END, EVENT_SESSION_START
from otel_session.store.records import (
    FLAG_CONFIRMED,
    FLAG_ERROR,
    FLAG_REQUEST,
    FLAG_STATEMENT,
    LogRow,
    SpanRow,
)
from otel_session.store.schema import NO_SESSION

ROW_BYTES = 120
"""What a span or log record takes in the file beside its body: its columns and index entries, about."""

LIFE_EVENTS = frozenset({EVENT_SESSION_START, EVENT_SESSION_END})
"""Events whose times are worked out (a cookie's whole second, the end of idleness): no sign of activity."""
_NEVER = 2**63 - 1


class Activity:
    """A session's summary row in the making: what a batch holds, then together with what the file had.

    A session of which only life events are known has `first_ns` _NEVER in the file, and the latest one's time as its
    last activity, until there is a real one.
    """

    __slots__ = (
        "bytes",
        "confirmed",
        "error_logs",
        "event_ns",
        "failed_requests",
        "first_ns",
        "key",
        "last_ns",
        "logs",
        "request_trace",
        "requests",
        "resources",
        "spans",
        "statements",
    )

    def __init__(self) -> None:
        self.key = NO_SESSION
        self.confirmed = False
        self.first_ns = _NEVER
        self.last_ns = self.event_ns = 0
        self.spans = self.requests = self.failed_requests = self.statements = 0
        self.logs = self.error_logs = self.bytes = 0
        self.request_trace: bytes | None = None
        self.resources: dict[bytes, None] = {}

    def add_span(self, row: SpanRow) -> None:
        """Count one span."""
        self.spans += 1
        self.bytes += len(row.body) + ROW_BYTES
        if row.start_ns < self.first_ns:
            self.first_ns = row.start_ns
        if row.start_ns > self.last_ns:
            self.last_ns = row.start_ns
        if row.end_ns > self.last_ns:
            self.last_ns = row.end_ns
        if row.resource not in self.resources:
            self.resources[row.resource] = None
        flags = row.flags
        if flags & FLAG_REQUEST:
            self.requests += 1
            self.failed_requests += flags & FLAG_ERROR  # the flag's value is 1
            self._meet_request_trace(row.trace_id)
        if flags & FLAG_STATEMENT:
            self.statements += 1
        if flags & FLAG_CONFIRMED:
            self.confirmed = True

    def add_log(self, row: LogRow) -> None:
        """Count one log record."""
        self.logs += 1
        self.bytes += len(row.body) + ROW_BYTES
        if row.event_name in LIFE_EVENTS:
            self.event_ns = max(self.event_ns, row.time_ns)
        else:
            self.first_ns = min(self.first_ns, row.time_ns)
            self.last_ns = max(self.last_ns, row.time_ns)
        if row.resource not in self.resources:
            self.resources[row.resource] = None
        self.error_logs += row.flags & FLAG_ERROR
        if row.flags & FLAG_CONFIRMED:
            self.confirmed = True

    def _meet_request_trace(self, trace_id: bytes | None) -> None:
        """A second request, known by its other trace, confirms the session."""
        if self.request_trace is None:
            self.request_trace = trace_id
        elif trace_id is not None and trace_id != self.request_trace:
            self.confirmed = True

    def add_stored(self, row: Sequence[Any]) -> None:
        """Add what the file already has of the session: its columns from `confirmed` to `request_trace`."""
        confirmed, first_ns, last_ns, spans, requests, failed, statements, logs, error_logs, size, trace = row
        self.confirmed = self.confirmed or bool(confirmed)
        if first_ns == _NEVER:
            self.event_ns = max(self.event_ns, last_ns)
        else:
            self.first_ns = min(self.first_ns, first_ns)
            self.last_ns = max(self.last_ns, last_ns)
        self.spans += spans
        self.requests += requests
        self.failed_requests += failed
        self.statements += statements
        self.logs += logs
        self.error_logs += error_logs
        self.bytes += size
        self._meet_request_trace(trace)

    def as_columns(self, resources: str) -> tuple[Any, ...]:
        """The row's columns from `confirmed` to `key`."""
        return (
            self.confirmed,
            self.first_ns,
            max(self.last_ns, self.event_ns) if self.first_ns == _NEVER else self.last_ns,
            self.spans,
            self.requests,
            self.failed_requests,
            self.statements,
            self.logs,
            self.error_logs,
            self.bytes,
            self.request_trace,
            resources,
            self.key,
        )


def collect(spans: Iterable[SpanRow], logs: Iterable[LogRow]) -> dict[str | None, Activity]:
    """Sum up a batch by session id. The entry for None is the rows without a session; it is always there."""
    activities: dict[str | None, Activity] = {None: Activity()}
    for span in spans:
        activity = activities.get(span.session_id)
        if activity is None:
            activity = activities[span.session_id] = Activity()
        activity.add_span(span)
    for log in logs:
        activity = activities.get(log.session_id)
        if activity is None:
            activity = activities[log.session_id] = Activity()
        activity.add_log(log)
    return activities
