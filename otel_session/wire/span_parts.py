"""Events and links of a span: `Span.Event` and `Span.Link` of `opentelemetry.proto.trace.v1`."""

from __future__ import annotations

from struct import Struct

from opentelemetry.sdk.trace import Event
from opentelemetry.trace import Link

from . import _repair
from .key_values import IN_EVENT, IN_LINK, encode_attributes
from .varint import delimit, encode_varint

_TIME = Struct("<cQ")
_FLAGS_LOCAL = b"\x35\x00\x01\x00\x00"
_FLAGS_REMOTE = b"\x35\x00\x03\x00\x00"


def encode_event(event: Event) -> bytes:
    """Encode one event, without tag or length."""
    encoded = b"".join(
        (
            _TIME.pack(b"\t", _repair.clamp_u64(event.timestamp)),
            b"\x12",
            delimit(_repair.to_utf8(event.name)),
            encode_attributes(event.attributes, IN_EVENT),
        )
    )
    dropped = event.dropped_attributes
    return encoded + b"\x20" + encode_varint(_repair.clamp_u32(dropped)) if dropped else encoded


def encode_link(link: Link) -> bytes:
    """Encode one link, without tag or length. Its trace state is left out, as the official encoder does."""
    context = link.context
    encoded = b"".join(
        (
            b"\n\x10",
            _repair.mask_id(context.trace_id, 128).to_bytes(16, "big"),
            b"\x12\x08",
            _repair.mask_id(context.span_id, 64).to_bytes(8, "big"),
            encode_attributes(link.attributes, IN_LINK),
            _FLAGS_REMOTE if context.is_remote else _FLAGS_LOCAL,
        )
    )
    dropped = link.dropped_attributes
    return encoded + b"\x28" + encode_varint(_repair.clamp_u32(dropped)) if dropped else encoded
