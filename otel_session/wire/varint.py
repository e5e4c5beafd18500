"""Protobuf's variable-length integers and the length prefix made of them."""

from __future__ import annotations

_MASK_64 = (1 << 64) - 1


def _encode(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


# Lengths of names, values and attributes are nearly always below this; a tuple look-up is five times a loop's speed.
_SMALL = tuple(_encode(number) for number in range(1024))
_SMALL_COUNT = len(_SMALL)


def encode_varint(number: int) -> bytes:
    """Encode an integer from 0 to 2**64 - 1 as a protobuf varint of 1 to 10 bytes.

    Raises:
        ValueError: The number is negative or wider than 64 bits.
    """
    if 0 <= number < _SMALL_COUNT:
        return _SMALL[number]
    if number < 0 or number > _MASK_64:
        raise ValueError("a varint holds an integer from 0 to 2**64 - 1")
    return _encode(number)


def encode_int64(number: int) -> bytes:
    """Encode a signed 64-bit integer as protobuf's `int64`: negative numbers take 10 bytes, in two's complement.

    Raises:
        ValueError: The number is wider than 64 bits.
    """
    if 0 <= number < _SMALL_COUNT:
        return _SMALL[number]
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("an OTLP integer has 64 bits")
    return _encode(number & _MASK_64)


def delimit(data: bytes) -> bytes:
    """Put the length of `data`, in bytes, before it."""
    return encode_varint(len(data)) + data
