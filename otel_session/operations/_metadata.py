"""What is told beside an operation's name: masked, cut and bounded as soon as it is given (feature B8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from otel_session import masking
from otel_session._guard import report

Given: TypeAlias = Mapping[str, Any] | Callable[..., Mapping[str, Any] | None] | None
"""Metadata, or what works it out of a call's arguments."""

MOST_KEYS = 100


def checked(given: Any) -> Given:
    """The same.

    Raises:
        TypeError: It is neither a mapping nor a function.
    """
    if given is None or isinstance(given, Mapping) or callable(given):
        return given  # type: ignore[no-any-return]
    raise TypeError(f"metadata= is a {type(given).__name__}; expected a mapping, or a function that returns one.")


def computed(given: Given, args: tuple[Any, ...], kwargs: Mapping[str, Any], operation: str) -> dict[str, Any]:
    """The metadata of one call as plain data; empty when it cannot be worked out, which is said once. Never raises."""
    if given is None:
        return {}
    try:
        values = given if isinstance(given, Mapping) else given(*args, **kwargs)
        return masked({} if values is None else values)
    except Exception:
        report(f"the metadata of the operation {operation}")
        return {}


def masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data without what must not leave.

    Raises:
        TypeError: It is no mapping.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"The metadata is a {type(values).__name__}; expected a mapping.")
    return masking.mask_mapping(values)


def add(known: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Put masked values beside those there are; beyond 100 keys only known ones change."""
    for key, value in masked(values).items():
        if key in known or len(known) < MOST_KEYS:
            known[key] = value
