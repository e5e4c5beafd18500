"""Attributes: repeated `KeyValue` fields, each encoded once for as long as it is in use."""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import TypeAlias

from . import _sdk
from ._report import report_once
from .cache import GenerationCache
from .values import encode_pair, encode_text_pair
from .varint import delimit

# The tag byte of the field `attributes` in each message: its number, length-delimited.
IN_SPAN = b"\x4a"
IN_EVENT = b"\x1a"
IN_LINK = b"\x22"
IN_LOG_RECORD = b"\x32"
IN_RESOURCE = b"\x0a"
IN_SCOPE = b"\x1a"
IN_NUMBER_POINT = b"\x3a"
IN_HISTOGRAM_POINT = b"\x4a"
IN_EXPONENTIAL_POINT = b"\x0a"
IN_EXEMPLAR = b"\x3a"

LONG_CHARACTERS = 256
"""Strings above this are not kept: hashing and comparing them costs what encoding them does."""

# Three caches, because ("k", True), ("k", 1) and ("k", 1.0) are equal as keys. Floats are not kept: they seldom
# repeat, and 0.0 equals -0.0. Nor are sequences and mappings, which hide such twins inside.
_Cache: TypeAlias = GenerationCache[tuple[str, object], bytes]
_strings: _Cache = GenerationCache(max_entries=2048, max_bytes=1 << 20, measure=len)
_integers: _Cache = GenerationCache(max_entries=2048, max_bytes=1 << 20, measure=len)
_booleans: _Cache = GenerationCache(max_entries=512, max_bytes=1 << 18, measure=len)
# Of a float, all but its eight bytes: they are the last.
_floats: GenerationCache[str, bytes] = GenerationCache(max_entries=512, max_bytes=1 << 18, measure=len)
_DOUBLE = Struct("<d")
_caches: dict[type, _Cache] = {str: _strings, int: _integers, bool: _booleans}


def encode_attributes(attributes: Mapping[str, object] | None, field: bytes = IN_SPAN) -> bytes:
    """Encode attributes as fields of the message they belong to, to be concatenated with its other fields.

    Never raises. An attribute OTLP cannot hold (an integer beyond 64 bits, an unknown type, endless nesting) is left
    out, as the official encoder does; the first in a process is logged.

    Args:
        attributes: Names to values; None and empty are no attributes.
        field: The tag byte of `attributes` in that message, one of the `IN_...` constants.

    Returns:
        Zero or more tagged, length-delimited `KeyValue` messages.
    """
    if attributes is None:
        return b""
    try:
        pairs = _sdk.pairs_of(attributes)
    except Exception as error:
        report_once("set of attributes", attributes, error)
        return b""
    strings, integers, booleans = _strings.young, _integers.young, _booleans.young
    encoded = [b""]
    for pair in pairs:
        key, value = pair
        kind = type(value)
        found = None
        if type(key) is str:
            if kind is str:
                found = strings.get(pair) if len(value) <= LONG_CHARACTERS else None  # type: ignore[arg-type]
            elif kind is int:
                found = integers.get(pair)
            elif kind is bool:
                found = booleans.get(pair)
            elif kind is float:
                start = _floats.young.get(key)
                found = start and start + _DOUBLE.pack(value)
        if found is None:
            found = _encode_or_skip(pair)
            if found is None:
                continue
        encoded.append(found)
    return field.join(encoded)


def pre_encode(attributes: Mapping[str, object], field: bytes = IN_SPAN) -> bytes:
    """Encode attributes that many spans will share, once; add the result to the bytes of each.

    A protobuf message is the concatenation of its fields, so `encode_span(span) + pre_encode(attributes)` is the span
    with these attributes too. A name the span has itself will be there twice: the caller sees to that.
    """
    return encode_attributes(attributes, field)


def clear_caches() -> None:
    """Forget every attribute encoded so far, for tests and for measuring."""
    for cache in _caches.values():
        cache.clear()
    _floats.clear()


def _encode_or_skip(pair: tuple[str, object]) -> bytes | None:
    key, value = pair
    try:
        kind = type(value)
        if kind is float and type(key) is str and len(key) <= LONG_CHARACTERS:
            whole = _encode(key, value)
            _floats.put(key, whole[: -_DOUBLE.size])
            return whole
        cache = _caches.get(kind) if type(key) is str else None
        if cache is None:
            return _encode(key, value)
        if kind is str and len(value) > LONG_CHARACTERS:  # type: ignore[arg-type]
            return encode_text_pair(key, value)  # type: ignore[arg-type]
        found = cache.get(pair)
        if found is None:
            found = encode_text_pair(key, value) if kind is str else _encode(key, value)  # type: ignore[arg-type]
            cache.put(pair, found)
        return found
    except Exception as error:
        report_once("telemetry attribute", key, error)
        return None


def _encode(key: object, value: object) -> bytes:
    if not isinstance(key, (str, bytes)) and key is not None:
        raise TypeError(f"a name is text, not {type(key).__name__}")
    return delimit(encode_pair(key, value))
