"""`opentelemetry.proto.trace.v1.Span`: a finished span to its bytes, written by hand for speed.

Equal, once decoded, to what `opentelemetry-exporter-otlp-proto-common` gives, its omissions included: a link's trace
state is not sent. Where that encoder raises, and loses the batch, the nearest value that can be sent is.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from struct import error as StructError  # noqa: N812

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from . import _repair, _sdk
from .cache import GenerationCache
from .key_values import LONG_CHARACTERS, encode_attributes
from .span_parts import encode_event, encode_link
from .varint import delimit, encode_varint

# trace_id, span_id, flags, start and end; then the same with parent_span_id.
_ROOT = Struct("<2s16s2s8s6scQcQ")
_CHILD = Struct("<2s16s2s8s6scQcQ2s8s")
_FLAGS_LOCAL = b"\x85\x01\x00\x01\x00\x00"
_FLAGS_REMOTE = b"\x85\x01\x00\x03\x00\x00"

_names: GenerationCache[str, bytes] = GenerationCache(max_entries=2048, max_bytes=1 << 20, measure=len)


def encode_span(span: ReadableSpan) -> bytes:
    """Encode a finished span as a `Span` message, without tag or length.

    Resource and scope are not in it (`origin_of`). Never raises, whatever values a span of the SDK's holds. Safe from
    any thread. Costs about 3 µs with eight attributes seen before, and 1.5 µs more for each new one.
    """
    # fmt: off
    (
        trace_id, span_id, trace_state, parent_id, is_remote, name, kind, start_ns, end_ns,
        attributes, dropped_attributes, events, dropped_events, links, dropped_links, code, description,
    ) = _sdk.read_span(span)
    # fmt: on
    try:
        head = _encode_head(trace_id, span_id, parent_id, is_remote, start_ns, end_ns)
    except (StructError, OverflowError, TypeError, AttributeError):
        head = _repair_head(trace_id, span_id, parent_id, is_remote, start_ns, end_ns)
    parts = [
        head,
        _encode_name(name),
        _encode_kind(kind),
        encode_attributes(attributes),
        _encode_status(code, description),
    ]
    if trace_state:
        parts.append(_encode_trace_state(trace_state))
    if dropped_attributes:
        parts.append(b"\x50" + encode_varint(_repair.clamp_u32(dropped_attributes)))
    for event in events:
        parts.append(b"\x5a" + delimit(encode_event(event)))
    if dropped_events:
        parts.append(b"\x60" + encode_varint(_repair.clamp_u32(dropped_events)))
    for link in links:
        parts.append(b"\x6a" + delimit(encode_link(link)))
    if dropped_links:
        parts.append(b"\x70" + encode_varint(_repair.clamp_u32(dropped_links)))
    return b"".join(parts)


def _encode_head(
    trace_id: int, span_id: int, parent_id: int | None, is_remote: bool, start_ns: int | None, end_ns: int | None
) -> bytes:
    trace, this = trace_id.to_bytes(16, "big"), span_id.to_bytes(8, "big")
    flags = _FLAGS_REMOTE if is_remote else _FLAGS_LOCAL
    if parent_id is None:
        return _ROOT.pack(b"\n\x10", trace, b"\x12\x08", this, flags, b"9", start_ns or 0, b"A", end_ns or 0)
    parent = parent_id.to_bytes(8, "big")
    return _CHILD.pack(
        b"\n\x10", trace, b"\x12\x08", this, flags, b"9", start_ns or 0, b"A", end_ns or 0, b'"\x08', parent
    )


def _repair_head(
    trace_id: object, span_id: object, parent_id: object, is_remote: bool, start_ns: object, end_ns: object
) -> bytes:
    return _encode_head(
        _repair.mask_id(trace_id, 128),
        _repair.mask_id(span_id, 64),
        None if parent_id is None else _repair.mask_id(parent_id, 64),
        is_remote,
        _repair.clamp_u64(start_ns),
        _repair.clamp_u64(end_ns),
    )


def _encode_name(name: str) -> bytes:
    if type(name) is not str or len(name) > LONG_CHARACTERS:
        return b"*" + delimit(_repair.to_utf8(name))
    found = _names.get(name)
    if found is None:
        found = b"*" + delimit(_repair.to_utf8(name))
        _names.put(name, found)
    return found


def _encode_kind(kind: object) -> bytes:
    # Members compared one by one: looking an enum member up in a dictionary calls its `__hash__`, written in Python.
    if kind is SpanKind.INTERNAL:
        return b"\x30\x01"
    if kind is SpanKind.CLIENT:
        return b"\x30\x03"
    if kind is SpanKind.SERVER:
        return b"\x30\x02"
    if kind is SpanKind.PRODUCER:
        return b"\x30\x04"
    if kind is SpanKind.CONSUMER:
        return b"\x30\x05"
    return b""


def _encode_status(code: object, description: str | None) -> bytes:
    if code is None:
        return b""
    if code is StatusCode.UNSET and not description:
        return b"\x7a\x00"
    encoded = b"\x18\x02" if code is StatusCode.ERROR else b"\x18\x01" if code is StatusCode.OK else b""
    if description:
        encoded += b"\x12" + delimit(_repair.to_utf8(description))
    return b"\x7a" + delimit(encoded)


def _encode_trace_state(trace_state: Mapping[str, str]) -> bytes:
    text = ",".join([f"{key}={value}" for key, value in trace_state.items()])
    return b"\x1a" + delimit(_repair.to_utf8(text))
