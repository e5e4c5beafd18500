"""Plain views of a span and a log record, for whoever shows them.

Ids are lower-case hex, `""` where absent. Times are nanoseconds since the epoch (UTC). Attribute values are str, bool,
int, float, bytes, None, and lists and string-keyed dicts of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from otel_session import attributes as names
from otel_session.store.records import FLAG_CONFIRMED, FLAG_ERROR, FLAG_REQUEST, FLAG_STATEMENT

Value: TypeAlias = "str | bool | int | float | bytes | list[Value] | dict[str, Value] | None"
Attributes: TypeAlias = dict[str, Value]

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES = ("UNSET", "OK", "ERROR")
LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


def text(attributes: Attributes, key: str) -> str:
    """An attribute as text, `""` when it is absent or empty."""
    value = attributes.get(key)
    return value if isinstance(value, str) else "" if value is None else str(value)


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
