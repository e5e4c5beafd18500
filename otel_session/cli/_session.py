"""One session's facts as both commands tell them; here is what their JSON documents have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from otel_session.attributes import SESSION_PREVIOUS_ID, USER_HASH, USER_ID
from otel_session.cli._build import builds_of, services_of
from otel_session.cli._log_lines import LogCounts
from otel_session.cli._units import MS, SECOND, local, utc_text
from otel_session.ids import short_id
from otel_session.store.activity import LIFE_EVENTS
from otel_session.store.records import (
    FLAG_CONFIRMED,
    FLAG_ERROR,
    FLAG_REQUEST,
    FLAG_STATEMENT,
    LogRow,
    SessionSummary,
    SpanRow,
)
from otel_session.store.views import LogView, SpanView, text

_FAILED_REQUEST = FLAG_REQUEST | FLAG_ERROR


def summarize(session_id: str, spans: Sequence[SpanRow], logs: Sequence[LogRow]) -> SessionSummary:
    """Count a session's rows the way the store does for its listings: a second request confirms a session, too."""
    flagged = any(s.flags & FLAG_CONFIRMED for s in spans) or any(x.flags & FLAG_CONFIRMED for x in logs)
    by_time = sorted([(s.start_ns, s.resource) for s in spans] + [(x.time_ns, x.resource) for x in logs])
    active = [x.time_ns for x in logs if x.event_name not in LIFE_EVENTS] + [s.start_ns for s in spans]
    active = active or [at_ns for at_ns, _ in by_time[-1:]] or [0]
    return SessionSummary(
        session_id=session_id,
        confirmed=flagged or len({s.trace_id for s in spans if s.flags & FLAG_REQUEST}) > 1,
        first_ns=min(active),
        last_ns=max([*active, *(s.end_ns for s in spans)]),
        spans=len(spans),
        requests=sum(bool(s.flags & FLAG_REQUEST) for s in spans),
        failed_requests=sum(s.flags & _FAILED_REQUEST == _FAILED_REQUEST for s in spans),
        statements=sum(bool(s.flags & FLAG_STATEMENT) for s in spans),
        logs=len(logs),
        error_logs=sum(bool(x.flags & FLAG_ERROR) for x in logs),
        resources=tuple(dict.fromkeys(resource for _, resource in by_time)),
    )


def length_ns(summary: SessionSummary) -> int:
    """From the first sign of the session to the last."""
    return max(0, summary.last_ns - summary.first_ns)


def summary_as_json(summary: SessionSummary, logs: LogCounts, users: Sequence[str]) -> dict[str, object]:
    """A session's facts under the keys that `sessions --json` and `show --json` share."""
    builds = builds_of(summary.resources)
    return {
        "session_id": summary.session_id,
        "short_id": short_id(summary.session_id),
        "confirmed": summary.confirmed,
        "started_utc": utc_text(summary.first_ns),
        "started_local": local(summary.first_ns).isoformat(timespec="seconds"),
        "last_activity_utc": utc_text(summary.last_ns),
        "length_s": round(length_ns(summary) / SECOND, 3),
        "requests": summary.requests,
        "failed_requests": summary.failed_requests,
        "statements": summary.statements,
        "spans": summary.spans,
        "log_lines": logs.lines,
        "error_log_lines": summary.error_logs,
        "events": logs.events,
        "access_lines": logs.access_lines,
        "users": list(users),
        "services": services_of(builds),
        "builds": [build.as_json() for build in builds],
    }


def previous_session(views: Iterable[SpanView | LogView]) -> str | None:
    """The id of the session that this one continues, if one is named."""
    return next((found for view in views if (found := text(view.attributes, SESSION_PREVIOUS_ID))), None)


def users(views: Iterable[SpanView | LogView]) -> list[str]:
    """The distinct user ids, or hashes of them, in their order."""
    found = (text(view.attributes, USER_ID) or text(view.attributes, USER_HASH) for view in views)
    return list(dict.fromkeys(user for user in found if user))


def in_ms(ns: int) -> float:
    """Nanoseconds as milliseconds, to the microsecond."""
    return round(ns / MS, 3)
