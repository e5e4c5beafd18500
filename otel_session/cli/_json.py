"""A session's tree as a JSON document; `show` documents its keys."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence

from otel_session import attributes as names
from otel_session.cli import _facts as facts
from otel_session.cli._build import build_of
from otel_session.cli._log_lines import LogCounts
from otel_session.cli._session import in_ms, summary_as_json
from otel_session.cli._spent import spent
from otel_session.cli._tree import Forest, Node
from otel_session.cli._units import utc_text
from otel_session.store.records import SessionSummary
from otel_session.store.views import LogView, Value, text


def write_json(document: object) -> str:
    """The document as indented, strictly valid JSON, plain ASCII: it comes through any pipe."""
    return json.dumps(document, indent=1, allow_nan=False)


def session_as_json(
    summary: SessionSummary, logs: LogCounts, previous_id: str | None, users: Sequence[str], forest: Forest
) -> dict[str, object]:
    """The whole document of `show --json`."""
    session = summary_as_json(summary, logs, users) | {"previous_session_id": previous_id}
    requests = [_node_as_json(root) for root in forest.roots]
    return {"session": session, "requests": requests, "logs": [_log_as_json(log) for log in forest.loose_logs]}


def _node_as_json(node: Node) -> dict[str, object]:
    span = node.span
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id or None,
        "orphan": node.orphan or None,
        "name": span.name,
        "label": facts.label(span),
        "kind": span.kind,
        "request": span.is_request,
        "statement": facts.is_statement(span),
        "started_utc": utc_text(span.start_ns),
        "start_unix_nano": span.start_ns,
        "duration_ms": in_ms(span.duration_ns),
        "status": span.status,
        "status_message": span.status_message or None,
        "error": span.is_error,
        "cause": (facts.cause(node) or None) if span.is_request and span.is_error else None,
        "method": facts.method(span) or None,
        "route": facts.route(span) or None,
        "status_code": facts.status_code(span),
        "correlation_id": text(span.attributes, names.CORRELATION_ID) or None,
        "time_ms": _time_as_json(node) if span.is_request else None,
        "build": build_of(span.resource).as_json(),
        "scope": span.scope or None,
        "damaged": span.damaged,
        "attributes": plain(span.attributes),
        "events": [
            {"name": e.name, "time_utc": utc_text(e.time_ns), "attributes": plain(e.attributes)} for e in span.events
        ],
        "links": [
            {"trace_id": x.trace_id, "span_id": x.span_id, "attributes": plain(x.attributes)} for x in span.links
        ],
        "logs": [_log_as_json(log) for log in node.logs],
        "children": [_node_as_json(child) for child in node.children],
    }


def _time_as_json(node: Node) -> dict[str, float]:
    where = spent(node)
    return {
        "database": in_ms(where.database_ns),
        "session_store": in_ms(where.store_ns),
        "calls": in_ms(where.calls_ns),
        "own_code": in_ms(where.own_ns),
    }


def _log_as_json(log: LogView) -> dict[str, object]:
    return {
        "time_utc": utc_text(log.time_ns),
        "time_unix_nano": log.time_ns,
        "level": log.level or None,
        "severity": log.severity,
        "error": log.is_error,
        "logger": log.scope or None,
        "event": log.event_name or None,
        "message": plain(log.body),
        "trace_id": log.trace_id or None,
        "span_id": log.span_id or None,
        "damaged": log.damaged,
        "attributes": plain(log.attributes),
    }


def plain(value: Value) -> object:
    """A value that JSON has: bytes become base64; NaN and the infinities their names, as in OTLP's own JSON."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
