"""Field values protobuf would refuse, bent into the nearest it accepts, so that one odd value never costs a batch."""

from __future__ import annotations

_MAX_64 = (1 << 64) - 1
_MAX_32 = (1 << 32) - 1


def to_utf8(text: object) -> bytes:
    """Give the UTF-8 of a protobuf `string` field, whatever was put there. Never raises.

    A surrogate pair becomes its character, a lone surrogate or an undecodable byte U+FFFD, None nothing, another
    object its `str()`, or nothing when that fails.
    """
    try:
        if text is None:
            return b""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        elif not isinstance(text, str):
            text = str(text)
        try:
            return str.encode(text)
        except UnicodeEncodeError:
            return str.encode(text, "utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    except Exception:
        return b""  # a `__str__` of the application's that raises


def to_text(text: object) -> str:
    """Give `to_utf8` as a string, for fields that protobuf encodes."""
    return to_utf8(text).decode()


def clamp_u64(number: object) -> int:
    """Give the nearest integer from 0 to 2**64 - 1; 0 for what is no number. For times in nanoseconds."""
    return _clamp(number, _MAX_64)


def clamp_u32(number: object) -> int:
    """Give the nearest integer from 0 to 2**32 - 1; 0 for what is no number. For counts."""
    return _clamp(number, _MAX_32)


def mask_id(number: object, bits: int) -> int:
    """Give the low `bits` of a trace or span id; 0 for what is no integer."""
    return number & ((1 << bits) - 1) if isinstance(number, int) else 0


def _clamp(number: object, maximum: int) -> int:
    if not isinstance(number, (int, float)):
        return 0
    try:
        return min(max(int(number), 0), maximum)
    except (ValueError, OverflowError):  # NaN; infinity
        return maximum if number > 0 else 0
