"""The fields of an operation and of an error, as they stand in a JSON line."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from otel_session import failures
from otel_session.logs._encoding import encode, quoted
from otel_session.logs._fields import MAX_FIELDS, json_of
from otel_session.logs._origin import parts_of
from otel_session.masking import mask, mask_mapping, text_of

_MAX_WORD_CHARS = 256


def operation_json(extras: dict[str, Any], error: tuple[str, str, str] | None) -> str:
    """The fields of an operation, in their order; takes them out of `extras`."""
    made = []
    if "operation" in extras:
        made.append(f',"operation":{quoted(text_of(extras.pop("operation"), _MAX_WORD_CHARS))}')
    if "duration_ms" in extras:
        made.append(f',"duration_ms":{_milliseconds(extras.pop("duration_ms"))}')
    if "success" in extras:
        made.append(f',"success":{json_of(extras.pop("success"))}')
    if "metadata" in extras:
        made.append(f',"metadata":{encode(mask_mapping(extras.pop("metadata")))}')
    if error is not None or "error" in extras:
        made.append(f',"error":{_error(extras.pop("error", None), error)}')
    return "".join(made)


def _milliseconds(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST_MS:
        return f"{float(value):.2f}"
    return encode(mask(value))


_MOST_MS = 1e15
_ERROR_CHARS = {"type": 256, "message": failures.MAX_MESSAGE_CHARS, "traceback": failures.MAX_STACKTRACE_CHARS}


def _error(given: Any, raised: tuple[str, str, str] | None) -> str:
    """What the application says of an error, its gaps filled from the exception that the record has."""
    if isinstance(given, BaseException):
        given, raised = None, parts_of(given)
    known: dict[Any, Any] = dict(zip(_ERROR_CHARS, raised, strict=True)) if raised is not None else {}
    if isinstance(given, Mapping):
        known.update(islice(given.items(), MAX_FIELDS))
    elif given is not None:
        known["message"] = given
    texts = {name: text_of(known.pop(name), most) for name, most in _ERROR_CHARS.items() if known.get(name) is not None}
    return encode({**texts, **mask_mapping(known)} if known else texts)


def error_from(text: str) -> tuple[str, str, str]:
    """Type, message and traceback, from a traceback's text."""
    clean = text_of(text, failures.MAX_STACKTRACE_CHARS)
    kind, _, said = clean.rstrip().rpartition("\n")[2].partition(": ")
    return kind, said, clean
