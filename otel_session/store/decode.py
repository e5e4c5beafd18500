"""OTLP bytes -> plain views of a span, a log record and a resource, for whoever shows them.

Ids are lower-case hex, `""` where absent. Times are nanoseconds since the epoch (UTC). Attribute values are str, bool,
int, float, bytes, None, and lists and string-keyed dicts of these. Bytes that are not valid OTLP give a view made of
the row's columns alone, with `damaged` set: one broken row must not hide the rest of a session.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags

from otel_session import attributes as names
from otel_session.store.records import FLAG_CONFIRMED, FLAG_ERROR, FLAG_REQUEST, FLAG_STATEMENT, LogRow, SpanRow

Value: TypeAlias = "str | bool | int | float | bytes | list[Value] | dict[str, Value] | None"
Attributes: TypeAlias = dict[str, Value]

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES = ("UNSET", "OK", "ERROR")
LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


@dataclass(frozen=True, slots=True)
class EventView:
    """An event on a span."""

    time_ns: int
    name: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class LinkView:
    """A link from a span to another."""

    trace_id: str
    span_id: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class SpanView:
    """One finished span.

    `kind` is one of KINDS, `status` one of STATUSES. `remote_parent` is None when the sender did not say. `resource`
    is shared between views: do not change it.
    """

    session_id: str | None
    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    start_ns: int
    end_ns: int
    flags: int
    resource: Attributes
    scope: str
    kind: str = "UNSPECIFIED"
    status: str = "UNSET"
    status_message: str = ""
    remote_parent: bool | None = None
    attributes: Attributes = field(default_factory=dict)
    events: tuple[EventView, ...] = ()
    links: tuple[LinkView, ...] = ()
    damaged: bool = False

    @property
    def duration_ns(self) -> int:
        """Nanoseconds; never negative, whatever the clock did."""
        return max(0, self.end_ns - self.start_ns)

    @property
    def is_error(self) -> bool:
        """Whether the span's status is Error."""
        return bool(self.flags & FLAG_ERROR)

    @property
    def is_request(self) -> bool:
        """Whether the span is one request served."""
        return bool(self.flags & FLAG_REQUEST)

    @property
    def is_statement(self) -> bool:
        """Whether the span is one database statement."""
        return bool(self.flags & FLAG_STATEMENT)

    @property
    def is_confirmed(self) -> bool:
        """Whether the client had brought its session id back."""
        return bool(self.flags & FLAG_CONFIRMED)


@dataclass(frozen=True, slots=True)
class LogView:
    """One log record or event. `level` is one of LEVELS or the sender's own word; `scope` is the logger's name."""

    session_id: str | None
    trace_id: str
    span_id: str
    time_ns: int
    severity: int
    level: str
    event_name: str
    body: Value
    flags: int
    resource: Attributes
    scope: str
    attributes: Attributes = field(default_factory=dict)
    damaged: bool = False

    @property
    def is_error(self) -> bool:
        """Whether the severity is ERROR or above."""
        return bool(self.flags & FLAG_ERROR)

    @property
    def is_confirmed(self) -> bool:
        """Whether the client had brought its session id back."""
        return bool(self.flags & FLAG_CONFIRMED)

    @property
    def message(self) -> str:
        """The body as text, of any length and with any characters; `""` when there is none."""
        return self.body if isinstance(self.body, str) else "" if self.body is None else str(self.body)

    @property
    def exception_type(self) -> str:
        """The exception's type, `""` when the record carries none."""
        return text(self.attributes, names.EXCEPTION_TYPE)

    @property
    def exception_message(self) -> str:
        """The exception's message, `""` when there is none."""
        return text(self.attributes, names.EXCEPTION_MESSAGE)


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


def text(attributes: Attributes, key: str) -> str:
    """An attribute as text, `""` when it is absent or empty."""
    value = attributes.get(key)
    return value if isinstance(value, str) else "" if value is None else str(value)


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number] if 0 <= number < len(words) else words[0]


def _level(severity: int, severity_text: str) -> str:
    # OTLP has four numbers to a level, 1 to 24; 0 is "not said".
    return LEVELS[(severity - 1) // 4] if 1 <= severity <= 24 else severity_text


def _remote_parent(flags: int) -> bool | None:
    if not flags & SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK:
        return None
    return bool(flags & SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
