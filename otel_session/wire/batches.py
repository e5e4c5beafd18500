"""What passes between a lane and its consumer: batches one way, what became of them the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from .origins import Origin


class Batch:
    """What is handed over at once; while it grows, what was put last.

    Attributes:
        size: Its bytes, as the lane counts them.
        number: How many items it has.
        made_s: When the oldest was put, monotonic seconds.
        tried: It was handed over before.
        doubtful: An attempt got no answer, so the far end may have it already.
    """

    __slots__ = ("by_origin", "doubtful", "made_s", "number", "size", "tried")

    def __init__(self) -> None:
        self.by_origin: dict[int, tuple[Origin, list[Any]]] = {}
        self.size = self.number = 0
        self.made_s = 0.0
        self.tried = self.doubtful = False

    @property
    def items(self) -> Iterable[tuple[Origin, list[Any]]]:
        """Its items by origin, in the order in which they were put."""
        return self.by_origin.values()

    def halves(self) -> tuple[Batch, Batch]:
        """Two batches of half the items, for a far end to which this one is too large."""
        first, second = Batch(), Batch()
        at = self.number // 2
        for key, (origin, items) in self.by_origin.items():
            for half, chosen in ((first, items[:at]), (second, items[at:])):
                if chosen:
                    half.by_origin[key] = (origin, chosen)
                    half.number += len(chosen)
            at = max(0, at - len(items))
        first.size = self.size * first.number // self.number
        second.size = self.size - first.size
        for half in (first, second):
            half.made_s, half.tried, half.doubtful = self.made_s, self.tried, self.doubtful
        return first, second


class Outcome(NamedTuple):
    """What became of a batch.

    Attributes:
        kept: The consumer has it.
        retry: It has not, and may be asked again.
        after_s: It asked to be left alone for so long.
        cause: Why not, in a short fixed word for metrics: a status code or the kind of error.
        reason: The same for a person, with what to do; empty when the consumer says so itself.
        doubtful: It may have arrived all the same: no answer came.
        resent: How often this attempt itself repeated a request that got no answer.
        rejected: How many items of a batch that it has it refused.
        too_large: It might take half of it.
    """

    kept: bool
    retry: bool = False
    after_s: float | None = None
    cause: str = ""
    reason: str = ""
    doubtful: bool = False
    resent: int = 0
    rejected: int = 0
    too_large: bool = False


KEPT = Outcome(True)


class Consumer(Protocol):
    """Takes batches, from one thread at a time.

    Attributes:
        name: The far end, for log lines: `http://collector:4318`.
        kind: The component's type for metrics, as the semantic conventions have it (`otlp_http_span_exporter`).
    """

    name: str
    kind: str

    def consume(self, batch: Batch, timeout_s: float | None = None) -> Outcome:
        """Deliver a batch within the consumer's own time limit, or within `timeout_s` where that is less."""

    def watch(self, trouble: Callable[[Outcome], None]) -> None:
        """Call this when a request has failed and the attempt goes on."""

    def hasten(self) -> None:
        """Repeat no attempt by itself from now on, one under way neither: the process ends. From another thread."""

    def end(self) -> None:
        """Give up an attempt under way and close connections: the process ends. Called from another thread."""

    def after_fork(self) -> None:
        """Let go of what must not be shared with the parent process; take no lock that a fork may leave taken."""
