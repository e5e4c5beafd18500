"""Any value -> what JSON can hold, masked, cut and bounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from datetime import date, datetime, time
from enum import Enum
from itertools import islice
from typing import Any

from otel_session import failures
from otel_session.masking import _rules
from otel_session.masking._keys import is_sensitive_key
from otel_session.masking._texts import UNREADABLE, clean_text, is_card_number, text_of
from otel_session.scrub import MASK

MAX_DEPTH = 8
MAX_ITEMS = 64
"""Items of one mapping or list that are kept."""
MAX_VALUES = 1_000
"""Values kept of one thing, however they are nested."""
MAX_KEY_CHARS = 128
_MAX_WHOLE_KEY_CHARS = 10_000  # of a key that is no text; what it is named may stand at its end
_RECURSIVE = "(recursive)"
_TOO_DEEP = "(nested too deep)"
_MORE = "(+{:,} more)"
_LEAST, _MOST = -(2**63), 2**64 - 1  # whole numbers that every JSON library here writes as such
_SMALLEST_CARD, _LARGEST_CARD = 10**12, 10**19


def mask(value: Any) -> Any:
    """The value as plain data: None, bool, int, float, str, and lists and dicts with text keys of these.

    Sensitive keys' values and secrets in texts become `[redacted]`. Texts are cut after `metadata_max_chars`; of what
    is nested, 8 levels, 64 items each and 1,000 values in all are kept. Whole numbers beyond 64 bits, `nan` and
    infinities become text, as does what JSON has no form for. Never raises.
    """
    try:
        return _Masking(_rules.current().max_chars).plain(value, 0)
    except Exception:
        return UNREADABLE


def mask_mapping(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    """A mapping as `mask` makes it; what is no mapping, or cannot be read, becomes `{"value": …}`. Never raises."""
    made = mask(mapping)
    return made if isinstance(made, dict) else {"value": made}


class _Masking:
    __slots__ = ("left", "max_chars", "within")

    def __init__(self, max_chars: int) -> None:
        self.max_chars, self.left = max_chars, MAX_VALUES
        self.within: set[int] = set()

    def plain(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return clean_text(value, self.max_chars)
        if value is None or kind is bool:
            return value
        if kind is int:
            return _whole(value)
        if kind is float:
            return value if value - value == 0 else _unusual(value)
        try:
            return self._of_kind(value, depth)
        except Exception:  # a mapping, list or number of the application's own making
            return UNREADABLE

    def _of_kind(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self._nested(value, depth, self._mapping)
        if isinstance(value, list | tuple | Set):
            return self._nested(value, depth, self._list)
        if isinstance(value, Enum):
            return self.plain(value.value, depth + 1) if depth < MAX_DEPTH else _TOO_DEEP
        if isinstance(value, str):
            return clean_text(str.__str__(value), self.max_chars)
        if isinstance(value, int):
            return _whole(int(value))
        if isinstance(value, float):
            return self.plain(float(value), depth)
        if isinstance(value, datetime | date | time):
            return clean_text(value.isoformat(), self.max_chars)
        if isinstance(value, bytes | bytearray | memoryview):
            return clean_text(bytes(value[: self.max_chars * 4]).decode("utf-8", "replace"), self.max_chars)
        if isinstance(value, BaseException):
            return clean_text(f"{failures.type_name(value)}: {failures.message(value)}", self.max_chars)
        return text_of(value, self.max_chars)

    def _nested(self, value: Any, depth: int, each: Any) -> Any:
        if id(value) in self.within:
            return _RECURSIVE
        if depth >= MAX_DEPTH:
            return _TOO_DEEP
        self.within.add(id(value))
        try:
            return each(value, depth + 1)
        finally:
            self.within.discard(id(value))

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, item in self._first(value.items(), value):
            whole = key if type(key) is str else text_of(key, _MAX_WHOLE_KEY_CHARS)
            made[key_of(whole)] = MASK if is_sensitive_key(whole) else self.plain(item, depth)
        if (more := _beyond(value, len(made))) > 0:
            made["…"] = _MORE.format(more)
        return made

    def _list(self, value: Any, depth: int) -> list[Any]:
        made = [self.plain(item, depth) for item in self._first(value, value)]
        if (more := _beyond(value, len(made))) > 0:
            made.append(_MORE.format(more))
        return made

    def _first(self, items: Iterable[Any], of: Any) -> Iterable[Any]:
        # One more takes no more than the note that it was left out; and what was cut already is not cut again.
        for item in islice(items, MAX_ITEMS + (_beyond(of, MAX_ITEMS) == 1)):
            if self.left <= 0:
                return
            self.left -= 1
            yield item


def key_of(key: str) -> str:
    """A mapping's key, at most 128 characters and a note."""
    return key if len(key) <= MAX_KEY_CHARS and key.isascii() else clean_text(key, MAX_KEY_CHARS)


def _beyond(value: Any, kept: int) -> int:
    try:
        return len(value) - kept
    except Exception:
        return 0


def _whole(value: int) -> Any:
    if value < _SMALLEST_CARD and value > _LEAST:
        return value
    if _LEAST <= value <= _MOST:
        return MASK if value < _LARGEST_CARD and is_card_number(str(value)) else value
    bits = value.bit_length()
    return str(value) if bits <= 1_024 else f"(a number of {bits:,} bits)"


def _unusual(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
