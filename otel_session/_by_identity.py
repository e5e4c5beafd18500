"""Something kept for each of a few objects that need not be hashable, as long as they live.

Vendors' providers stand in for the SDK's and may be dataclasses, which have no hash.
"""

from __future__ import annotations

import weakref
from typing import Any, Generic, TypeVar

V = TypeVar("V")


class ByIdentity(Generic[V]):
    """Values by the identity of objects; nothing keeps an object alive but the lack of weak references to it."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Any, V]] = {}

    def get(self, one: Any) -> V | None:
        """What is kept for an object, None for nothing."""
        found = self._kept.get(id(one))
        return None if found is None else found[1]

    def put(self, one: Any, value: V) -> None:
        """Keep something for an object, as long as it lives."""
        key = id(one)
        try:
            holder: Any = weakref.ref(one, lambda _: self._kept.pop(key, None))
        except TypeError:  # it has no weak references: then its number must not become another's
            holder = one
        self._kept[key] = holder, value
