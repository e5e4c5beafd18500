"""A lane that nobody empties: what our encoders put, to be looked at."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any


class KeptLane:
    """Stands for a `Lane`. To look into `put_in` is to make a batch: what waits to be encoded is put first."""

    closed = False

    def __init__(self) -> None:
        self.before_seal: Callable[[], None] | None = None
        self.origins: list[Any] = []
        self._kept: deque[Any] = deque()

    def put(self, origin: Any, item: Any, _size: int) -> None:
        """As `Lane.put`."""
        self.origins.append(origin)
        self._kept.append(item)

    def put_all(self, origin: Any, items: list[Any], sizes: list[int]) -> None:
        """As `Lane.put_all`."""
        for item, size in zip(items, sizes, strict=True):
            self.put(origin, item, size)

    def announce(self) -> None:
        """As `Lane.announce`; nobody is to be woken."""

    @property
    def put_in(self) -> deque[Any]:
        """What was put."""
        if self.before_seal is not None:
            self.before_seal()
        return self._kept
