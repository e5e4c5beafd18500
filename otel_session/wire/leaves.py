"""Leaf spans of our own instrumentors, written as bytes without an SDK object, where the short way is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from struct import error as StructError  # noqa: N812
from typing import Any, NamedTuple, TypeAlias

from opentelemetry.trace import Link, SpanContext, SpanKind

from . import _repair
from .key_values import encode_attributes
from .short_way import ShortWay
from .span_ids import new_span_id
from .span_parts import encode_link
from .spans import _encode_kind, _encode_name, _encode_trace_state
from .varint import delimit

_STATUS_UNSET = b"\x7a\x00"
_STATUS_ERROR = b"\x7a\x02\x18\x02"
# trace_id, span_id, flags (the parent is of this process), start and end, parent_span_id.
_HEAD = Struct("<2s16s2s8s6scQcQ2s8s")
_LOCAL = b"\x85\x01\x00\x01\x00\x00"
_new = tuple.__new__


class Leaf(NamedTuple):
    """What a store looks a span up by that was written the short way.

    Attributes:
        confirmed: A request whose client brought the session id back.
    """

    name: str
    kind: SpanKind
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    start_ns: int
    end_ns: int
    session_id: str | None
    error: bool
    confirmed: bool = False


Encode: TypeAlias = Callable[[tuple[Any, ...], bool], tuple[Leaf | None, bytes]]
"""Gets what `SpanWriter.write` was given and whether a store looks it up; gives what `encode_leaf` gives."""


class SpanWriter:
    """Writes leaf spans of one tracer.

    Who has one to write gives `write` a function that encodes it, and what that function needs: as little as can be is
    done where a leaf ends, the rest when some of them are encoded together.
    """

    def __init__(self, tracer: Any) -> None:
        self.way = ShortWay(tracer)
        self.writes = self.way.is_open

    @staticmethod
    def prepare(name: str, kind: SpanKind, attributes: Mapping[str, Any]) -> bytes:
        """The bytes of a leaf's name, kind and attributes, for `encode_leaf`."""
        return _encode_name(name) + _encode_kind(kind) + encode_attributes(attributes)

    def new_id(self) -> int:
        """A span's id."""
        way = self.way
        return new_span_id() if way.draws_ids else way.tracer.id_generator.generate_span_id()

    def write(self, encode: Encode, *about: Any) -> None:
        """Write a span that has ended.

        Args:
            encode: Calls `encode_leaf`, soon, perhaps on another thread.
            about: What it is given, after itself and the span's origin.
        """
        way = self.way
        way.encoder.defer((encode, way.origin, *about))


_above: tuple[SpanContext | None, bytes, bytes, bytes] = (None, b"", b"", b"")
"""The last parent, and its ids and trace state as bytes: a request's statements have the same one."""


def encode_leaf(
    name: str,
    kind: SpanKind,
    span_id: int,
    parent: SpanContext,
    start_ns: int,
    end_ns: int,
    parts: tuple[bytes, ...],
    session_id: str | None,
    error: bool,
    links: Sequence[Link],
    looked_up: bool,
) -> tuple[Leaf | None, bytes]:
    """The bytes of a leaf, and what a store looks it up by.

    Args:
        name: Its name, for stores; the bytes have it already.
        kind: Likewise.
        span_id: Its id, from `SpanWriter.new_id`.
        parent: A recording, sampled span of this process.
        start_ns: Nanoseconds since the epoch, like `end_ns`.
        end_ns: See above.
        parts: From `SpanWriter.prepare`, and the bytes of further attributes.
        session_id: For stores.
        error: Whether its status is Error; else it is unset.
        links: Its links.
        looked_up: Whether a store wants to look it up.
    """
    global _above
    known, trace, above, state = _above
    if known is not parent:
        trace, above = parent.trace_id.to_bytes(16, "big"), parent.span_id.to_bytes(8, "big")
        state = _encode_trace_state(parent.trace_state) if parent.trace_state else b""
        _above = parent, trace, above, state
    this = span_id.to_bytes(8, "big")
    try:
        head = _HEAD.pack(b"\n\x10", trace, b"\x12\x08", this, _LOCAL, b"9", start_ns, b"A", end_ns, b'"\x08', above)
    except StructError:  # a test's own clock
        start_ns, end_ns = _repair.clamp_u64(start_ns), _repair.clamp_u64(end_ns)
        head = _HEAD.pack(b"\n\x10", trace, b"\x12\x08", this, _LOCAL, b"9", start_ns, b"A", end_ns, b'"\x08', above)
    tail = (_STATUS_ERROR if error else _STATUS_UNSET) + state
    for link in links:
        tail += b"\x6a" + delimit(encode_link(link))
    body = b"".join((head, *parts, tail))
    if not looked_up:
        return None, body
    return _new(Leaf, (name, kind, trace, this, above, start_ns, end_ns, session_id, error, False)), body
