"""OTLP bytes -> plain views of a span, a log record and a resource.

Bytes that are not valid OTLP give a view made of the row's columns alone, with `damaged` set: one broken row must not
hide the rest of a session.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags

from otel_session.store.records import LogRow, SpanRow
from otel_session.store.views import KINDS, LEVELS, STATUSES, Attributes, EventView, LinkView, LogView, SpanView, Value


def decode_span(row: SpanRow) -> SpanView:
    """A span row's view."""
    resource, scope = decode_resource(row.resource), decode_scope(row.scope)
    ids = (row.session_id, row.trace_id.hex(), row.span_id.hex(), row.parent_span_id.hex())
    try:
        span = Span.FromString(row.body)
    except DecodeError:
        return SpanView(*ids, row.name, row.start_ns, row.end_ns, row.flags, resource, scope, damaged=True)
    return SpanView(
        *ids,
        span.name or row.name,
        row.start_ns,
        row.end_ns,
        row.flags,
        resource,
        scope,
        kind=_word(KINDS, span.kind),
        status=_word(STATUSES, span.status.code),
        status_message=span.status.message,
        remote_parent=_remote_parent(span.flags),
        attributes=decode_attributes(span.attributes),
        events=tuple(EventView(e.time_unix_nano, e.name, decode_attributes(e.attributes)) for e in span.events),
        links=tuple(LinkView(x.trace_id.hex(), x.span_id.hex(), decode_attributes(x.attributes)) for x in span.links),
    )


def decode_log(row: LogRow) -> LogView:
    """A log row's view."""
    resource, scope = decode_resource(row.resource), decode_scope(row.scope)
    ids = (row.session_id, row.trace_id.hex(), row.span_id.hex(), row.time_ns, row.severity)
    try:
        record = LogRecord.FromString(row.body)
    except DecodeError:
        level = _level(row.severity, "")
        return LogView(*ids, level, row.event_name, None, row.flags, resource, scope, damaged=True)
    return LogView(
        *ids,
        level=_level(row.severity, record.severity_text),
        event_name=row.event_name,
        body=decode_value(record.body),
        flags=row.flags,
        resource=resource,
        scope=scope,
        attributes=decode_attributes(record.attributes),
    )


@lru_cache(maxsize=1024)
def decode_resource(body: bytes) -> Attributes:
    """A Resource's attributes, `{}` for bytes that are not one. The dict is shared: do not change it."""
    try:
        return decode_attributes(Resource.FromString(body).attributes)
    except DecodeError:
        return {}


@lru_cache(maxsize=1024)
def decode_scope(body: bytes) -> str:
    """An instrumentation scope's name, `""` for bytes that are not one."""
    try:
        name: str = InstrumentationScope.FromString(body).name
    except DecodeError:
        return ""
    return name


def decode_attributes(pairs: Iterable[KeyValue]) -> Attributes:
    """Key-values as a dict; of a key that stands twice the last value counts."""
    return {pair.key: decode_value(pair.value) for pair in pairs}


def decode_value(value: AnyValue) -> Value:
    """An AnyValue as plain data; None when it is empty."""
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which == "array_value":
        return [decode_value(item) for item in value.array_value.values]
    if which == "kvlist_value":
        return decode_attributes(value.kvlist_value.values)
    plain: Value = getattr(value, which)
    return plain


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number] if 0 <= number < len(words) else words[0]


def _level(severity: int, severity_text: str) -> str:
    # OTLP has four numbers to a level, 1 to 24; 0 is "not said".
    return LEVELS[(severity - 1) // 4] if 1 <= severity <= 24 else severity_text


def _remote_parent(flags: int) -> bool | None:
    if not flags & SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK:
        return None
    return bool(flags & SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
