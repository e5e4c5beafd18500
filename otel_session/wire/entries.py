"""The span of a whole request, where the short way is open: a span of the SDK whose attributes wait, encoded.

Most requests' spans get the attributes that we give them and are asked for none. Such a span keeps them as bytes; the
moment anybody reads or sets one, adds an event or a link, or the way closes, they become what every span has, and the
span ends as every span does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from struct import error as StructError  # noqa: N812
from threading import Lock
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.trace import _Span
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
)

from otel_session.context import span_in

from .key_values import encode_attributes
from .leaves import Leaf
from .short_way import ShortWay
from .span_ids import new_span_id, new_trace_id
from .span_parts import encode_link
from .spans import _encode_head, _encode_kind, _encode_name, _encode_status, _encode_trace_state, _repair_head
from .varint import delimit

_new = tuple.__new__
_FRESH = frozenset({"_attributes", "_events", "_links", "_lock"})
# What a span of the SDK has: one that has more is not known here, and the long way is gone.
_SHARED = frozenset(
    [
        "_name",
        "_context",
        "_kind",
        "_instrumentation_info",
        "_instrumentation_scope",
        "_parent",
        "_start_time",
        "_end_time",
        "_status",
        "_resource",
        "_sampler",
        "_trace_config",
        "_record_exception",
        "_set_status_on_exception",
        "_span_processor",
        "_limits",
        "_record_end_metrics",
        "_parent_span_is_remote",
    ]
)


class Part:
    """Some attributes of a span.

    Attributes:
        attributes: Not to be changed any more.
        encoded: Their bytes: given where many spans have them, else made when the span is encoded.
    """

    __slots__ = ("attributes", "encoded")

    def __init__(self, attributes: Mapping[str, Any], encoded: bytes | None = None) -> None:
        self.attributes, self.encoded = attributes, encoded

    def encode(self) -> bytes:
        """Make the bytes."""
        return encode_attributes(self.attributes)


_SdkSpan: Any = _Span  # fields of the SDK's become properties here, and its types do not foresee it
_ApiSpan: Any = NonRecordingSpan


class EntrySpan(_SdkSpan):  # type: ignore[misc]
    """See above. Made by `EntryMaker`; the parts of one span name different attributes."""

    _way: ShortWay
    _parts: tuple[Part, ...]
    _looked_up: tuple[str | None, bool]
    _given_links: Sequence[Link]
    _end_time: Any

    def get_span_context(self) -> SpanContext:
        """As the SDK's, which makes two further calls: it is asked for each log record and unit of work."""
        return self._context  # type: ignore[no-any-return]

    def tell(self, part: Part) -> None:
        """Set attributes that no part has."""
        with self._lock:
            waiting = self._waits()
            if waiting:
                self._parts += (part,)
        if not waiting:
            self.set_attributes(part.attributes)

    def retell(self, parts: tuple[Part, ...], session_id: str | None, *, confirmed: bool) -> None:
        """Set anew what it was started with: each attribute that it has is in these parts too."""
        with self._lock:
            waiting = self._waits()
            if waiting:
                self._parts, self._looked_up = parts, (session_id, confirmed)
        if not waiting:
            self.set_attributes({key: value for part in parts for key, value in part.attributes.items()})

    def _waits(self) -> bool:
        return self._end_time is None and "_made_attributes" not in self.__dict__

    @property
    def _attributes(self) -> Any:
        found = self.__dict__.get("_made_attributes")
        if found is None:
            limits = self._limits
            together = {key: value for part in self._parts for key, value in part.attributes.items()}
            made = BoundedAttributes(
                limits.max_span_attributes, together, immutable=False, max_value_len=limits.max_span_attribute_length
            )
            made._immutable = self._end_time is not None
            found = self.__dict__.setdefault("_made_attributes", made)
        return found

    @property
    def _events(self) -> Any:
        return _list(self.__dict__, "_made_events", self._limits.max_events)

    @property
    def _links(self) -> Any:
        fields, most = self.__dict__, self._limits.max_links
        if self._given_links and "_made_links" not in fields:
            return fields.setdefault("_made_links", BoundedList.from_seq(most, self._given_links))
        return _list(fields, "_made_links", most)

    def end(self, end_time: int | None = None) -> None:
        """As `Span.end`; encodes what is still as we made it."""
        with self._lock:
            fields = self.__dict__
            short = (
                self._end_time is None
                and "_made_attributes" not in fields
                and "_made_events" not in fields
                and "_made_links" not in fields
                and self._status.description is None
                and self._way.is_open()
            )
            if short:
                self._end_time = time.time_ns() if end_time is None else end_time
        if short:
            way = self._way
            way.encoder.defer((_encode, way.origin, self))
        else:
            super().end(end_time)


def _list(fields: dict[str, Any], name: str, most: int | None) -> Any:
    found = fields.get(name)
    return fields.setdefault(name, BoundedList(most)) if found is None else found


def _encode(ended: tuple[Any, ...], looked_up: bool) -> tuple[Leaf | None, bytes]:
    """The bytes of such a span, and what a store looks it up by."""
    span = ended[2]
    context, parent, status = span._context, span._parent, span._status
    trace_id, span_id, _, _, trace_state, _ = context
    above, remote = (None, False) if parent is None else (parent.span_id, parent.is_remote)
    start_ns, end_ns = span._start_time, span._end_time
    try:
        head = _encode_head(trace_id, span_id, above, remote, start_ns, end_ns)
    except StructError:  # a test's own clock
        head = _repair_head(trace_id, span_id, above, remote, start_ns, end_ns)
    body = b"".join(
        [
            head,
            _encode_name(span._name),
            _encode_kind(span._kind),
            *[part.encoded or part.encode() for part in span._parts],
            _encode_status(status.status_code, None),
            _encode_trace_state(trace_state) if trace_state else b"",
            *[b"\x6a" + delimit(encode_link(link)) for link in span._given_links],
        ]
    )
    if not looked_up:
        return None, body
    session_id, confirmed = span._looked_up
    above_bytes = b"" if above is None else above.to_bytes(8, "big")
    leaf = _new(
        Leaf,
        (
            span._name, span._kind, span.trace_bytes, span.id_bytes, above_bytes, start_ns, end_ns, session_id,
            status.status_code is StatusCode.ERROR, confirmed,
        ),
    )  # fmt: skip
    return leaf, body


class Dropped(_ApiSpan):  # type: ignore[misc]
    """A span that is not sampled, and whose children are not either: ids and no more, and those when somebody asks."""

    def __init__(self, ids: Any, trace_id: int | None = None) -> None:
        self._ids, self._trace_id = ids, trace_id

    def get_span_context(self) -> SpanContext:
        """Its context, made at the first look; the same for every thread."""
        return self.__dict__.get("_made") or self._make()

    @property
    def _context(self) -> SpanContext:  # what `NonRecordingSpan` shows of itself
        return self.get_span_context()

    def _make(self) -> SpanContext:
        trace_id = self._trace_id or self._ids.generate_trace_id()
        made = SpanContext(trace_id, self._ids.generate_span_id(), False, _RANDOM if _is_random(self._ids) else _NONE)
        return self.__dict__.setdefault("_made", made)  # type: ignore[no-any-return]


class EntryMaker:
    """Starts such spans for one tracer."""

    def __init__(self, way: ShortWay) -> None:
        self._way = way
        self._learned_from: Any = None
        self._fields: dict[str, Any] | None = None

    def start(
        self,
        name: str,
        kind: SpanKind,
        context: Context,
        parts: Callable[[], tuple[Part, ...]],
        session_id: str | None,
        *,
        confirmed: bool,
        links: Sequence[Link] = (),
        start_ns: int | None = None,
    ) -> Any:
        """Start an `EntrySpan`, give a `Dropped` one, or None where the long way has to be gone.

        Args:
            name: The span's name.
            kind: The span's kind.
            context: The parent's span is in it.
            parts: Gives its attributes, the ids among them, when it is sure that there will be a span; no two parts
                name the same one.
            session_id: For stores.
            confirmed: For stores: whether the client brought the id back.
            links: Its links, a few at most.
            start_ns: When it began, in nanoseconds since the epoch; now, where it is not given.
        """
        way = self._way
        if not way.is_open():
            return None
        above, trace_id = span_in(context), None
        parent = None if above is None else above.get_span_context()
        if parent is None or not parent.is_valid:
            parent = None
            if way.roots is None:
                return None
            trace_id = new_trace_id() if way.draws_ids else way.tracer.id_generator.generate_trace_id()
            if not way.keeps_roots and way.roots.should_sample(None, trace_id, name).decision is Decision.DROP:
                return Dropped(way.tracer.id_generator, trace_id)
        elif not _keeps(way, parent):
            return None
        tracer = way.tracer
        fields = self._fields if tracer.resource is self._learned_from else self._learn(tracer)
        if fields is None:
            return None
        span: Any = EntrySpan.__new__(EntrySpan)
        this = _context_of(way, trace_id, parent)
        span.__dict__ = {
            **fields,
            "_name": name,
            "_kind": kind,
            "_context": this,
            "_parent": parent,
            "_lock": Lock(),
            "_way": way,
            "_parts": parts(),
            "_looked_up": (session_id, confirmed),
            "_given_links": links,
            "trace_bytes": this.trace_id.to_bytes(16, "big"),
            "id_bytes": this.span_id.to_bytes(8, "big"),
            "_start_time": time.time_ns() if start_ns is None else start_ns,
        }
        return span

    def _learn(self, tracer: Any) -> dict[str, Any] | None:
        """What all spans of the tracer have in common, learned from one."""
        self._learned_from = tracer.resource
        model = vars(
            _Span(
                name="",
                context=INVALID_SPAN_CONTEXT,
                sampler=tracer.sampler,
                resource=tracer.resource,
                span_processor=tracer.span_processor,
                instrumentation_info=tracer.instrumentation_info,
                limits=tracer._span_limits,
                instrumentation_scope=tracer._instrumentation_scope,
            )
        )
        known = set(model) >= _FRESH and set(model) <= _FRESH | _SHARED
        self._fields = {name: model[name] for name in model if name not in _FRESH} if known else None
        return self._fields


def _keeps(way: ShortWay, parent: Any) -> bool:
    return bool(parent.trace_flags & TraceFlags.SAMPLED) and (way.keeps_remote or not parent.is_remote)


def _context_of(way: ShortWay, trace_id: int | None, parent: SpanContext | None) -> SpanContext:
    """A sampled span's context, as `Tracer.start_span` makes it; `trace_id` is a root's."""
    ids = way.tracer.id_generator
    span_id = new_span_id() if way.draws_ids else ids.generate_span_id()
    if parent is None:
        return SpanContext(trace_id or 0, span_id, False, _SAMPLED_RANDOM if _is_random(ids) else _SAMPLED)
    flags = _SAMPLED_RANDOM if parent.trace_flags & _RANDOM_BIT else _SAMPLED
    return SpanContext(parent.trace_id, span_id, False, flags, parent.trace_state)


def _is_random(ids: Any) -> bool:
    # Of the SDK's from 1.41 on.
    return ids.is_trace_id_random() if _RANDOM_BIT and hasattr(ids, "is_trace_id_random") else False


_RANDOM_BIT = getattr(TraceFlags, "RANDOM_TRACE_ID", 0)
_NONE = TraceFlags(TraceFlags.DEFAULT)
_RANDOM = TraceFlags(_RANDOM_BIT)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SAMPLED_RANDOM = TraceFlags(TraceFlags.SAMPLED | _RANDOM_BIT)
