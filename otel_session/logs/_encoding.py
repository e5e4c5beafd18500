"""Plain data -> JSON text: by orjson when it is installed (extra `fast`), by the standard library otherwise.

The text is the same, to the byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any

_quick: Callable[[Any], bytes] | None
try:
    from orjson import dumps as _quick
except ImportError:
    _quick = None

quoted: Callable[[str], str] = encode_basestring
"""A text as JSON; in both cases the standard library's C function, which is as fast for one text."""

_standard = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False).encode
# Where one library writes 1e+16 and 6e-05, the other writes 1e16 and 0.00006.
_FLOAT_OF_ITS_OWN = re.compile(r"\de[+-]?\d|0\.0000")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_LINE_ENDS = ("\x85", "\u2028", "\u2029")


def encode(value: Any) -> str:
    """Plain data as `masking.mask` makes it, as compact JSON.

    Raises:
        TypeError: It is other data.
    """
    if _quick is None:
        return _standard(value)
    written = _quick(value).decode()
    return _standard(value) if _FLOAT_OF_ITS_OWN.search(written) else written


def one_line(written: str) -> str:
    """The same JSON without characters that some readers take for the end of a line."""
    for end in _LINE_ENDS:
        if end in written:
            written = written.replace(end, f"\\u{ord(end):04x}")
    return written


def in_ascii(written: str) -> str:
    """The same JSON in ASCII alone."""
    return written if written.isascii() else _BEYOND_ASCII.sub(_escaped, written)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
