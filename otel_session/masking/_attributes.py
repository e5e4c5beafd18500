"""Metadata -> span attributes: flat names, values that OpenTelemetry takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from otel_session.masking import _rules
from otel_session.masking._texts import clean_text
from otel_session.masking._values import mask_mapping

MAX_ATTRIBUTES = 64
_INT64 = range(-(2**63), 2**63)
Attribute = str | bool | int | float | list[Any]


def flat_attributes(prefix: str, mapping: Mapping[Any, Any]) -> dict[str, Attribute]:
    """A mapping, masked, as attributes `prefix.key` and `prefix.key.inner`, at most 64. Never raises.

    Args:
        prefix: What the names begin with, without the last point; may be empty.
        mapping: Metadata.

    Returns:
        Name → text, flag, number, or list of one kind of these. A list of other things becomes JSON text; what is
        None is left out.
    """
    made: dict[str, Attribute] = {}
    try:
        for name, value in _flat(prefix, mask_mapping(mapping)):
            if len(made) >= MAX_ATTRIBUTES:
                break
            made[name] = value
    except Exception:  # only our own plain data is walked: nothing is expected here
        return made
    return made


def _flat(prefix: str, mapping: Mapping[str, Any]) -> Iterator[tuple[str, Attribute]]:
    for key, value in mapping.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict):
            yield from _flat(name, value)
        elif value is not None:
            yield name, _attribute(value)


def _attribute(value: Any) -> Attribute:
    if isinstance(value, list):
        kinds = {type(item) for item in value}
        if len(kinds) <= 1 and kinds <= {str, bool, int, float} and all(_fits(item) for item in value):
            return value
        return clean_text(json.dumps(value, ensure_ascii=False), _rules.current().max_chars)
    return value if _fits(value) else str(value)


def _fits(value: Any) -> bool:
    return type(value) is not int or value in _INT64
