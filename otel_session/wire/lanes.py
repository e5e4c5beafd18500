"""A lane: encoded spans or log records on their way to one consumer, bounded in bytes and in age.

Many threads put, one worker takes. What a consumer cannot take now waits here until it is too old or there is no more
room; what is dropped is counted by reason.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from .origins import Origin


class Outcome(NamedTuple):
    """What became of a batch.

    Attributes:
        kept: The consumer has it.
        retry: It has not, and may be asked again.
        after_s: It asked to be left alone for so long.
        reason: Why not, in a few words; empty when kept.
        sent: Whether the batch left the process, so that asking again may deliver it twice.
    """

    kept: bool
    retry: bool = False
    after_s: float | None = None
    reason: str = ""
    sent: bool = False


KEPT = Outcome(True)


class Batch(NamedTuple):
    """What is handed over at once: items by origin, their bytes and number, and when it was cut (monotonic seconds)."""

    items: list[tuple[Origin, list[Any]]]
    size: int
    number: int
    made_s: float


class Consumer(Protocol):
    """Takes batches, from one thread. Must not raise, and must come back in bounded time."""

    name: str

    def consume(self, batch: Batch) -> Outcome:
        """Deliver a batch."""

    def abort(self) -> None:
        """Give up an attempt under way: the process ends. May be called from another thread."""

    def after_fork(self) -> None:
        """Let go of what must not be shared with the parent process."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A lane's bounds. `batch_items` 0 means that only bytes count."""

    max_bytes: int = 64 << 20
    max_age_s: float = 600.0
    batch_bytes: int = 2 << 20
    batch_items: int = 0
    wake_bytes: int = 512 << 10


class Lane:
    """See above. `what` names what is in it, for log lines and metrics: `spans`, `log records`."""

    def __init__(self, what: str, consumer: Consumer, limits: Limits, wake: Callable[[bool], None]) -> None:
        self.what = what
        self.consumer = consumer
        self.limits = limits
        self.dropped: Counter[str] = Counter()
        self.delivered = self.resent = self.put_count = 0
        self.last_delivery_s = 0.0
        self.failing = ""
        self._wake = wake
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._fresh: dict[int, tuple[Origin, list[Any]]] = {}
        self._fresh_bytes = self._fresh_count = 0
        self._waiting: deque[Batch] = deque()
        self._waiting_bytes = 0
        self._failures = 0
        self._not_before_s = 0.0

    def after_fork(self) -> None:
        """Begin empty: what was here is the parent's, and it delivers it."""
        self._reset()
        self.consumer.after_fork()

    @property
    def held_bytes(self) -> int:
        """Bytes held, fresh and waiting."""
        return self._fresh_bytes + self._waiting_bytes

    @property
    def held_count(self) -> int:
        """Items held, fresh and waiting."""
        return self._fresh_count + sum(batch.number for batch in list(self._waiting))

    def put(self, origin: Origin, item: Any, size: int) -> None:
        """Add one item of `size` bytes. Costs about 0.3 µs; never waits for a consumer, never raises."""
        with self._lock:
            if self._fresh_bytes + self._waiting_bytes + size > self.limits.max_bytes and not self._made_room(size):
                self.dropped["full"] += 1
                return
            self.put_count += 1
            # Origins are the same object as long as they are in use, and are kept alive here.
            entry = self._fresh.get(id(origin))
            if entry is None:
                entry = self._fresh[id(origin)] = (origin, [])
            entry[1].append(item)
            self._fresh_count += 1
            before = self._fresh_bytes
            self._fresh_bytes = before + size
        if before == 0:
            self._wake(False)
        elif before < self.limits.wake_bytes <= before + size:
            self._wake(True)

    def _made_room(self, size: int) -> bool:
        # What has waited longest goes first: it is the least worth by now.
        while self._waiting and self.held_bytes + size > self.limits.max_bytes:
            self._drop(self._waiting.popleft(), "full")
        return self.held_bytes + size <= self.limits.max_bytes

    def _drop(self, batch: Batch, reason: str) -> None:
        self._waiting_bytes -= batch.size
        self.dropped[reason] += batch.number

    def deliver(self, *, final: bool = False) -> bool:
        """Hand over what is there; the worker calls this.

        Args:
            final: Ask a consumer once more that is to be left alone.

        Returns:
            Whether nothing is left.
        """
        if time.monotonic() < self._not_before_s and not final:
            return False
        while (batch := self._next()) is not None:
            started_s = time.monotonic()
            outcome = self.consumer.consume(batch)
            self.last_delivery_s = time.monotonic() - started_s
            if not self._settle(batch, outcome):
                return False
        return True

    def _next(self) -> Batch | None:
        with self._lock:
            oldest_s = time.monotonic() - self.limits.max_age_s
            while self._waiting and self._waiting[0].made_s < oldest_s:
                self._drop(self._waiting.popleft(), "age")
            if self._waiting:
                batch = self._waiting.popleft()
                self._waiting_bytes -= batch.size
                return batch
            return self._cut() if self._fresh_count else None

    def _cut(self) -> Batch | None:
        items, size, count = list(self._fresh.values()), self._fresh_bytes, self._fresh_count
        self._fresh, self._fresh_bytes, self._fresh_count = {}, 0, 0
        whole = Batch(items, size, count, time.monotonic())
        batches = _split(whole, self.limits)
        for batch in batches[1:]:
            self._waiting.append(batch)
            self._waiting_bytes += batch.size
        return batches[0]

    def _settle(self, batch: Batch, outcome: Outcome) -> bool:
        with self._lock:
            if outcome.kept:
                self.delivered += batch.number
                self._failures, self._not_before_s, self.failing = 0, 0.0, ""
                return True
            self.failing = outcome.reason
            if not outcome.retry:
                self.dropped[outcome.reason] += batch.number
                return True
            self.resent += batch.number if outcome.sent else 0
            self._waiting.appendleft(batch)
            self._waiting_bytes += batch.size
            self._failures += 1
            pause_s = min(30.0, 2.0 ** min(self._failures - 1, 5)) if outcome.after_s is None else outcome.after_s
            self._not_before_s = time.monotonic() + pause_s
            return False


def _split(batch: Batch, limits: Limits) -> list[Batch]:
    if batch.size <= limits.batch_bytes and (not limits.batch_items or batch.number <= limits.batch_items):
        return [batch]
    parts = max(
        -(-batch.size // limits.batch_bytes), -(-batch.number // limits.batch_items) if limits.batch_items else 1
    )
    # By number: items of one lane are of like size, and a consumer that finds a batch too large says so.
    per_part = max(1, -(-batch.number // parts))
    cut: list[Batch] = []
    for origin, items in batch.items:
        for at in range(0, len(items), per_part):
            piece = items[at : at + per_part]
            cut.append(
                Batch([(origin, piece)], max(1, batch.size * len(piece) // batch.number), len(piece), batch.made_s)
            )
    return cut
