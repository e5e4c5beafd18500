"""Rows as SQLite can keep them, for the rare ones that it cannot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, TypeVar

_LARGEST = 2**63 - 1
_Row = TypeVar("_Row", bound=Any)


def clamped(rows: Iterable[_Row]) -> list[_Row]:
    """Cut numbers to what 63 bits hold, and put "?" for halves of a surrogate pair in texts.

    OTLP's times have 64 bits without sign, and Python's texts may hold what UTF-8 cannot; the body is untouched.
    """
    return [replace(row, **_changes(row)) for row in rows]


def _changes(row: Any) -> dict[str, Any]:
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    changes: dict[str, Any] = {
        name: max(0, min(value, _LARGEST)) for name, value in values.items() if isinstance(value, int)
    }
    changes.update(
        (name, value.encode("utf-8", "replace").decode()) for name, value in values.items() if isinstance(value, str)
    )
    return changes
