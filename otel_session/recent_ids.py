"""Which ids this process has met lately, at about a hundred bytes each."""

from __future__ import annotations

__all__ = ["RecentIds"]


class RecentIds:
    """Remembers the latest ids that it was asked about; safe from any thread and across `fork`, without a lock.

    In two generations: the young one becomes the old one when it is full, and the old one is let go. Of an id its hash
    is kept, 64 bits that differ from process to process: two of 10,000 ids are taken for the same once in 10**11 times.

    Attributes:
        used: Whether it was asked about any. Who asks for each request looks here first.
    """

    __slots__ = ("_half", "_old", "_young", "used")

    def __init__(self, most: int = 10_000) -> None:
        """Remember between half of `most` ids and all of them."""
        self.used = False
        self._half = most // 2
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}

    def first_time(self, one: str) -> bool:
        """Whether an id is new here; from now on it is not."""
        key = hash(one)
        young = self._young
        self.used = True
        # One step for all threads: of several that meet an id at once, one finds the very number that it brought.
        known = young.setdefault(key, key) is not key or key in self._old
        if len(young) >= self._half:
            self._old, self._young = young, {}
        return not known

    def __contains__(self, one: str) -> bool:
        """Whether an id was met; costs about 0.2 µs."""
        key = hash(one)
        return key in self._young or key in self._old

    def __len__(self) -> int:
        """Count the ids; one met in both generations counts twice."""
        return len(self._young) + len(self._old)
