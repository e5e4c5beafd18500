"""`opentelemetry.proto.common.v1.AnyValue`: one value of an attribute or of a log record's body."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from ._repair import to_utf8
from .varint import delimit, encode_int64, encode_varint

MAX_LEVELS = 94
"""Messages a value may nest: decoders stop at 100, and request, resource, scope, span, event and attribute are six."""

_ONE_BYTE = 120
_TRUE = b"\x10\x01"
_FALSE = b"\x10\x00"
_DOUBLE = struct.Struct("<cd")


def encode_value(value: object, levels: int = MAX_LEVELS) -> bytes:
    """Encode a value as the bytes of an `AnyValue`, without tag or length; None becomes the empty message.

    What counts as what follows the official encoder: a bool is not an int, subclasses count as their base, any
    sequence is an array (`bytearray` too), keys of a mapping go through `str`.

    Args:
        value: Any of str, bool, int, float, bytes, None, and sequences and mappings of them.
        levels: Messages that may still be nested below this one.

    Raises:
        TypeError: OTLP has no such value.
        ValueError: An integer beyond 64 bits, or more levels than a decoder accepts.
        Exception: Whatever the value's own methods raise.
    """
    if value is None:
        return b""
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, str):
        return b"\n" + delimit(to_utf8(value))
    if isinstance(value, int):
        return b"\x18" + encode_int64(int.__index__(value))
    if isinstance(value, float):
        return _DOUBLE.pack(b"!", value)
    if isinstance(value, bytes):
        return b":" + delimit(bytes(value))
    if isinstance(value, Sequence):
        return b"*" + delimit(_encode_array(value, levels - 2))
    if isinstance(value, Mapping):
        return b"2" + delimit(_encode_map(value, levels - 3))
    raise TypeError(f"OTLP has no value for {type(value).__name__}")


def encode_any(value: object) -> bytes:
    """Encode a log record's body: as `encode_value`, but what OTLP cannot hold becomes its `str()`. Never raises."""
    try:
        return encode_value(value)
    except Exception:
        return b"\n" + delimit(to_utf8(value))


def encode_pair(key: object, value: object, levels: int = MAX_LEVELS) -> bytes:
    """Encode a `KeyValue` message, without tag or length. Raises what `encode_value` raises."""
    name = to_utf8(key)
    encoded = encode_value(value, levels)
    return b"".join((b"\n", encode_varint(len(name)), name, b"\x12", encode_varint(len(encoded)), encoded))


def encode_text_pair(key: str, value: str) -> bytes:
    """Encode a `KeyValue` of two strings with its length before it; what `encode_pair` gives, in half the time."""
    name, text = to_utf8(key), to_utf8(value)
    if len(name) + len(text) < _ONE_BYTE:  # then every length is one byte
        return b"%c\n%c%b\x12%c\n%c%b" % (len(name) + len(text) + 6, len(name), name, len(text) + 2, len(text), text)
    name_size, text_size = encode_varint(len(name)), encode_varint(len(text))
    value_size = encode_varint(1 + len(text_size) + len(text))
    size = 3 + len(name_size) + len(name) + len(value_size) + len(text_size) + len(text)
    return b"".join((encode_varint(size), b"\n", name_size, name, b"\x12", value_size, b"\n", text_size, text))


def _encode_array(values: Sequence[object], levels: int) -> bytes:
    _check(levels)
    return b"".join([b"\n" + delimit(encode_value(value, levels)) for value in values])


def _encode_map(values: Mapping[object, object], levels: int) -> bytes:
    _check(levels)
    return b"".join([b"\n" + delimit(encode_pair(str(key), value, levels)) for key, value in values.items()])


def _check(levels: int) -> None:
    if levels < 0:
        raise ValueError(f"OTLP decoders refuse a value nested deeper than {MAX_LEVELS} messages")
