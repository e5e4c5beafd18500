"""A lane: encoded spans or log records on their way to one destination, bounded in bytes and in age.

Many threads put, one takes. What cannot be delivered now waits here until it is too old or there is no more room; what
is dropped is counted by reason.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, NamedTuple

from otel_session._clock import monotonic

from .batches import Batch
from .origins import Origin

QUEUE_FULL = "queue_full"
"""Why something is dropped, in the words of OpenTelemetry's metrics where they have one: there was no room."""
CLOSED = "already_shutdown"
"""It came after the end."""
EXPIRED = "expired"
"""It waited for longer than the age limit."""
UNDELIVERED = "shutdown_timeout"
"""The process ended before it could be delivered."""
REJECTED = "rejected"
"""The far end took the batch and refused this part of it."""


class Limits(NamedTuple):
    """A lane's bounds: bytes and seconds that it holds, and bytes that are handed over at once."""

    max_bytes: int = 64 << 20
    max_age_s: float = 600.0
    batch_bytes: int = 1 << 20


class Counts:
    """What became of everything that was put, since the process began."""

    __slots__ = ("delivered", "dropped", "handed", "resent")

    def __init__(self) -> None:
        self.handed = self.delivered = self.resent = 0
        self.dropped: Counter[str] = Counter()


class Lane:
    """See above. `what` names what is in it, for log lines and metrics: `spans`, `log records`.

    `wake(True)` asks for delivery now, `wake(False)` says that there is something. A batch that was taken counts as
    held until it is settled. Safe from any thread.

    Attributes:
        before_seal: Called by `gather`: has put what is kept ready elsewhere.
    """

    def __init__(self, what: str, limits: Limits, wake: Callable[[bool], None]) -> None:
        self.what = what
        self.limits = limits
        self.closed = False
        self.before_seal: Callable[[], None] | None = None
        self._wake = wake
        self._cap = limits.max_bytes
        self._batch_bytes = max(1, min(limits.batch_bytes, limits.max_bytes // 4))
        self.after_fork()

    def after_fork(self) -> None:
        """Begin empty: what was here is the parent's, and it delivers it."""
        # Taken again by its own thread when garbage collection or a signal ends a span in the middle of `put`.
        self._lock = threading.RLock()
        self.counts = Counts()
        self._fresh = Batch()
        self._waiting: deque[Batch] = deque()
        self.held_bytes = self.held_count = 0

    def put(self, origin: Origin, item: Any, size: int) -> None:
        """Add one item of `size` bytes. Costs about 0.3 µs; never waits for a consumer, never raises."""
        full = False
        with self._lock:
            if self.held_bytes + size > self._cap and (self.closed or not self._made_room(size)):
                self.counts.dropped[CLOSED if self.closed else QUEUE_FULL] += 1
                first = not self.closed
            else:
                first = self._take([item], origin, size)
                if self._fresh.size >= self._batch_bytes:
                    self.seal()
                    full = True
        if first or full:
            self._wake(full)

    def put_all(self, origin: Origin, items: list[Any], sizes: list[int]) -> None:
        """Add items of one origin, as `put` does, in one step where there is room for all of them."""
        size = sum(sizes)
        with self._lock:
            fits = self.held_bytes + size <= self._cap and self._fresh.size + size < self._batch_bytes
            first = fits and self._take(items, origin, size)
        if not fits:
            for item, its in zip(items, sizes, strict=True):
                self.put(origin, item, its)
        elif first:
            self._wake(False)

    def _take(self, items: list[Any], origin: Origin, size: int) -> bool:
        """Keep items for the next batch; whether they are its first. Under the lock."""
        fresh = self._fresh
        # Origins are the same object as long as they are in use, and are kept alive here.
        entry = fresh.by_origin.get(id(origin))
        if entry is None:
            entry = fresh.by_origin[id(origin)] = (origin, [])
        entry[1].extend(items)
        number = len(items)
        first = not fresh.number
        fresh.number += number
        fresh.size += size
        self.held_count += number
        self.held_bytes += size
        if first:
            fresh.made_s = monotonic()
        return first

    def _made_room(self, size: int) -> bool:
        # What has waited longest goes first: it is the least worth by now.
        while self._waiting and size <= self._cap and self.held_bytes + size > self._cap:
            self.drop(self._waiting.popleft(), QUEUE_FULL)
        return self.held_bytes + size <= self._cap

    def announce(self) -> None:
        """Say that something will be put when a batch is made."""
        self._wake(False)

    def gather(self) -> None:
        """Have put what somebody keeps ready, and make a batch."""
        if self.before_seal is not None:
            self.before_seal()
        self.seal()

    def seal(self) -> None:
        """Make a batch of what was put since the last one."""
        with self._lock:
            # What garbage collection or a signal puts meanwhile goes into either of the two, and is counted there.
            fresh, self._fresh = self._fresh, Batch()
            if fresh.number:
                self._waiting.append(fresh)

    def fresh_age_s(self) -> float:
        """How long ago the oldest item was put that is in no batch yet; 0 when there is none."""
        fresh = self._fresh
        return monotonic() - fresh.made_s if fresh.number else 0.0

    def expire(self) -> None:
        """Drop the batches whose oldest item is too old."""
        with self._lock:
            oldest_s = monotonic() - self.limits.max_age_s
            while self._waiting and self._waiting[0].made_s < oldest_s:
                self.drop(self._waiting.popleft(), EXPIRED)

    @property
    def waiting(self) -> int:
        """How many batches wait."""
        return len(self._waiting)

    def take(self) -> Batch | None:
        """Take the oldest batch, to hand it over."""
        with self._lock:
            self.expire()
            if not self._waiting:
                return None
            batch = self._waiting.popleft()
            self.counts.handed += 0 if batch.tried else batch.number
            self.counts.resent += batch.number if batch.doubtful else 0
            batch.tried = True
            return batch

    def keep(self, batch: Batch, refused: int = 0) -> None:
        """Settle a batch: it was delivered, `refused` items of it in vain."""
        with self._lock:
            if not self.held_count:  # abandoned meanwhile
                return
            self._release(batch)
            self.counts.delivered += batch.number - refused
            if refused:
                self.counts.dropped[REJECTED] += refused

    def drop(self, batch: Batch, reason: str) -> None:
        """Settle a batch: nobody will have it."""
        with self._lock:
            if self.held_count:
                self._release(batch)
                self.counts.dropped[reason] += batch.number

    def give_back(self, *batches: Batch) -> None:
        """Let a batch, or the parts of one, wait for another attempt, before all others."""
        with self._lock:
            if self.held_count:
                self._waiting.extendleft(reversed(batches))

    def _release(self, batch: Batch) -> None:
        self.held_bytes -= batch.size
        self.held_count -= batch.number

    def close(self) -> None:
        """Take nothing more; what is held can still be delivered."""
        with self._lock:
            self.closed, self._cap = True, -1

    def abandon(self) -> None:
        """Drop and count all that is held: the process ends."""
        with self._lock:
            if self.held_count:
                self.counts.dropped[UNDELIVERED] += self.held_count
            self._fresh = Batch()
            self._waiting.clear()
            self.held_bytes = self.held_count = 0
