"""A bounded cache that is read without waiting and does not thrash when it is full."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

ENTRY_OVERHEAD = 256
"""Bytes charged per entry beside its payload: key tuple, object headers and a dictionary slot."""


class GenerationCache(Generic[Key, Value]):
    """A map in two generations.

    New entries go into the young generation. When that holds half of what the cache may, it becomes the old one and
    the former old one is let go; an entry read from the old generation moves to the young. So what is in use stays,
    what was used once leaves, and no insertion ever costs more than a dictionary write.

    Reading takes no lock. Writing tries one and gives up when another thread (or the same one, interrupted by a
    finalizer) holds it: what is not kept is encoded again, which is cheaper than waiting. Safe across `fork`.

    Keys may be equal only if their values are: `True`, `1` and `1.0` need caches of their own.
    """

    __slots__ = ("_lock", "_max_bytes", "_max_entries", "_measure", "_old", "_pid", "_young_bytes", "young")

    def __init__(self, *, max_entries: int, max_bytes: int, measure: Callable[[Value], int]) -> None:
        """Create an empty cache.

        Args:
            max_entries: Entries of both generations together.
            max_bytes: Bytes of both generations together.
            measure: Gives a value's size in bytes. Its key is taken to be as large, and `ENTRY_OVERHEAD` comes on top.
        """
        self.young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}
        self._max_entries = max_entries // 2
        self._max_bytes = max_bytes // 2
        self._measure = measure
        self._young_bytes = 0
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def get(self, key: Key) -> Value | None:
        """Give what is kept for `key`, or None. Hot loops may look into `young` themselves before they ask here."""
        found = self.young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: Key, value: Value) -> None:
        """Keep `value` for `key`, if there is room for it at all and nobody else is writing."""
        cost = 2 * self._measure(value) + ENTRY_OVERHEAD
        if cost > self._max_bytes:
            return
        lock = self._lock
        if not lock.acquire(False):
            self._replace_lock_after_fork()
            return
        try:
            if len(self.young) >= self._max_entries or self._young_bytes + cost > self._max_bytes:
                self._old, self.young, self._young_bytes = self.young, {}, 0
            if key not in self.young:
                self._young_bytes += cost
                self.young[key] = value
        finally:
            lock.release()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._old, self.young, self._young_bytes = {}, {}, 0

    def __len__(self) -> int:
        """Count the entries of both generations; one that has just moved counts twice."""
        return len(self.young) + len(self._old)

    @property
    def young_bytes(self) -> int:
        """Bytes charged to the young generation: half of `max_bytes` at most, and so was the old one."""
        return self._young_bytes

    def _replace_lock_after_fork(self) -> None:
        # A child forked while another thread held the lock inherits it locked, with nobody left to open it.
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._lock = threading.Lock()
