"""A lane of metrics: each collection is one batch, counted in data points."""

from __future__ import annotations

from collections.abc import Sequence

from otel_session._clock import monotonic

from .batches import Batch
from .lanes import CLOSED, QUEUE_FULL, Lane
from .metrics import EncodedMetric


class Collection(Batch):
    """What was collected at one moment."""

    __slots__ = ("_metrics",)

    def __init__(self, metrics: Sequence[EncodedMetric]) -> None:
        super().__init__()
        self.made_s = monotonic()
        self._metrics = metrics
        for metric in metrics:
            self.by_origin.setdefault(id(metric.origin), (metric.origin, []))[1].append(metric.body)
            self.number += metric.points
            self.size += len(metric.body)

    @property
    def divisible(self) -> bool:
        """Whether there are halves of it."""
        return len(self._metrics) > 1

    def halves(self) -> tuple[Batch, Batch]:
        """Two collections of half the metrics."""
        middle = len(self._metrics) // 2
        first, second = Collection(self._metrics[:middle]), Collection(self._metrics[middle:])
        for half in (first, second):
            half.made_s, half.tried, half.doubtful = self.made_s, self.tried, self.doubtful
        return first, second


class MetricLane(Lane):
    """See above. Collections wait for each other's delivery, so that they arrive in their order."""

    def put_collection(self, metrics: Sequence[EncodedMetric], *, wake: bool = True) -> None:
        """Add what was collected, and ask for its delivery now; `wake=False` leaves that to whoever puts next."""
        batch = Collection(metrics)
        if not batch.number:
            return
        with self._lock:
            if self.held_bytes + batch.size > self._cap and (self.closed or not self._made_room(batch.size)):
                self.counts.dropped[CLOSED if self.closed else QUEUE_FULL] += batch.number
                return
            self.held_count += batch.number
            self.held_bytes += batch.size
            self._waiting.append(batch)
        if wake:
            self._wake(True)
