"""What stands on a record beside what every record has: `extra=` fields."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from otel_session import attributes as names
from otel_session.logs._encoding import encode, quoted
from otel_session.logs._origin import ORIGIN
from otel_session.masking import (
    MASK,
    clean_text,
    current_rules,
    is_sensitive_key,
    mask,
    max_chars,
    text_of,
)

_MADE = vars(logging.makeLogRecord({}))
_ORDINARY = frozenset(_MADE) | {"message", "asctime", "taskName", ORIGIN}
MADE_COUNT, _MADE_LAST = len(_MADE), list(_MADE)[-1]
# fmt: off
TAKEN = frozenset((
    "timestamp", "level", "logger", "message", "correlation_id", "session_id", "user_id", "operation", "duration_ms",
    "success", "metadata", "error", "trace_id", "span_id", "commit", "module", "function", "line", "stack", "extra",
))
# fmt: on
_SET_BY_FORMATTERS = frozenset(("message", "asctime", "taskName"))
_UNPLAIN = TAKEN | _ORDINARY | frozenset(names.RECORD_FIELDS)
MAX_FIELDS = 64
_MAX_WORD_CHARS = 256
_MAX_KEY_CHARS = 10_000  # of a key that is no text; what it is named may stand at its end


def extras_of(record: logging.LogRecord) -> dict[str, Any]:
    """What the application, or a library, has added to a record; at most 64 fields of it."""
    fields = record.__dict__.copy()  # another thread may write the same record
    # Most often the fields that every record has come first: the others follow, and looking at those is enough.
    rest: Iterator[tuple[Any, Any]] = islice(fields.items(), MADE_COUNT - 1, None)
    first = next(rest, None)
    if first is None or first[0] != _MADE_LAST:
        rest = iter(fields.items())
    found: dict[str, Any] = {}
    for key, value in rest:
        if key not in _ORDINARY:
            found[key if type(key) is str else text_of(key, _MAX_KEY_CHARS)] = value
            if len(found) >= MAX_FIELDS:
                break
    return found


def plain_json(fields: Mapping[str, Any], defaults: str) -> str | None:
    """Fields that the application has added, as they stand in a JSON object, where each is an ordinary one.

    Returns:
        None where one is not: masked, of an operation, named like a field of every line; then `extras_of` gives them.
    """
    if defaults or len(fields) > MADE_COUNT + MAX_FIELDS:
        return None
    try:
        rest = islice(fields.items(), MADE_COUNT - 1, None)
        if next(rest)[0] != _MADE_LAST:
            return None
        rules = current_rules()
        known, written, most = _plain_names(rules), "", rules.max_chars
        for key, value in rest:
            name = known.get(key)
            if name is None:
                name = _learn(known, key)
            if name is _SPECIAL:
                return None
            if name:
                written += name + (quoted(clean_text(value, most)) if type(value) is str else json_of(value))
        return written
    except RuntimeError:  # another thread writes the same record
        return None


_SPECIAL = "special"
_names_known: tuple[object, dict[str, str]] = (None, {})


def _plain_names(rules: object) -> dict[str, str]:
    """Names of fields as they stand in JSON, with a comma first; empty for what every record has."""
    global _names_known
    if _names_known[0] is not rules:
        _names_known = rules, {}
    return _names_known[1]


def _learn(known: dict[str, str], key: Any) -> str:
    if key in _SET_BY_FORMATTERS:
        name = ""
    elif type(key) is not str or len(key) > _MAX_WORD_CHARS or key in _UNPLAIN or is_sensitive_key(key):
        return _SPECIAL
    else:
        name = f",{quoted(clean_text(key, _MAX_WORD_CHARS))}:"
    if len(known) < _NAMES_MOST:
        known[key] = name
    return name


def extras_json(extras: Mapping[str, Any]) -> str:
    """Fields as they stand in a JSON object, with a comma first; those whose name is taken inside of `extra`."""
    apart = [key for key in extras if key in TAKEN]
    if not apart:
        return "".join([field(key, value) for key, value in extras.items()])
    written = "".join([field(key, value) for key, value in extras.items() if key not in TAKEN])
    return f'{written},"extra":{{{"".join([field(key, extras[key]) for key in apart])[1:]}}}'


def field(key: str, value: Any) -> str:
    """One field as it stands in a JSON object, with a comma first, masked."""
    return f",{quoted(clean_text(key, _MAX_WORD_CHARS))}:" + (_MASKED if is_sensitive_key(key) else json_of(value))


_MASKED = quoted(MASK)
_NAMES_MOST = 10_000


def json_of(value: Any) -> str:
    """A value as JSON, masked."""
    kind = type(value)
    if kind is str:
        return quoted(clean_text(value, max_chars()))
    if kind is bool:
        return "true" if value else "false"
    if value is None:
        return "null"
    if kind is int and -_PLAIN_INT < value < _PLAIN_INT:
        return str(value)
    return encode(mask(value))


_PLAIN_INT = 10**12  # what is larger may be the number of a card
