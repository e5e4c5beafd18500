"""A courier hands the batches of one lane to their consumer, and knows when to leave it alone."""

from __future__ import annotations

import random
from collections.abc import Callable

from otel_session._clock import monotonic
from otel_session._guard import report

from .batches import Batch, Consumer, Outcome
from .lanes import Lane

_MOST_PAUSE_S = 30.0
_JITTER = 0.2
_SEAL_S = 1.0
_BATCHES_A_TURN = 8
KNOWN_BAD_S = 1.0
"""At the end of the process: time for a far end that has failed before."""


class Courier:
    """See above. One thread at a time has it.

    Attributes:
        failing: What became of the last attempt, while it failed.
        observe: Gets the duration of each attempt in seconds, and what became of it.
        changed: Called when an attempt that goes on is in trouble.
    """

    def __init__(self, lane: Lane, consumer: Consumer) -> None:
        self.lane = lane
        self.consumer = consumer
        self.observe: Callable[[float, Outcome], None] | None = None
        self.failing: Outcome | None = None
        self.changed: Callable[[], None] | None = None
        consumer.watch(self._hear)
        self._reset()

    def _hear(self, outcome: Outcome) -> None:
        self.failing = outcome
        if self.changed is not None:
            self.changed()

    def _reset(self) -> None:
        self.failing = None
        self._failures = 0
        self._not_before_s = 0.0
        self._asked_pause = False

    def after_fork(self) -> None:
        """Begin anew, with an empty lane."""
        self._reset()
        self.lane.after_fork()
        self.consumer.after_fork()

    @property
    def ready(self) -> bool:
        """Whether a batch waits and may be handed over at once."""
        return self.lane.waiting > 0 and monotonic() >= self._not_before_s

    def deliver(self, until_s: float | None = None, *, last: bool = False) -> bool:
        """Hand over what is there.

        Args:
            until_s: Somebody waits for it, until then (monotonic seconds). All that is there now is handed over, also
                to a consumer that failed a moment ago; one that asked for a pause gets it. None: a few batches.
            last: The process ends: ask once more in any case, and for a short time where it failed before.

        Returns:
            Whether nothing of it is left.
        """
        turns = self._turns(asked=until_s is not None, last=last)
        if turns is None:
            return not self.lane.held_count
        while turns > 0:
            timeout_s = self._timeout_s(until_s) if last else None
            if timeout_s is not None and timeout_s <= 0:
                return False
            batch = self.lane.take()
            if batch is None:
                return True
            parts = self._hand_over(batch, timeout_s)
            if parts is None:
                return False
            turns += parts - 1
        return True

    def _turns(self, *, asked: bool, last: bool) -> int | None:
        """How many batches may be handed over in this turn; None while the consumer is to be left alone."""
        pausing = monotonic() < self._not_before_s and not last and (self._asked_pause or not asked)
        if not pausing or self.lane.fresh_age_s() >= _SEAL_S:  # else few batches, none older than that
            self.lane.gather()
        self.lane.expire()
        if pausing:
            return None
        return self.lane.waiting if asked or last else min(self.lane.waiting, _BATCHES_A_TURN)

    def _timeout_s(self, until_s: float | None) -> float | None:
        if until_s is None:
            return None
        left_s = until_s - monotonic()
        return min(left_s, KNOWN_BAD_S) if self.failing is not None else left_s

    def _hand_over(self, batch: Batch, timeout_s: float | None) -> int | None:
        """Try one batch: in how many parts it waits again, or None when the consumer is to be left alone."""
        started_s = monotonic()
        outcome = self._consume(batch, timeout_s)
        if self.observe is not None:
            self.observe(monotonic() - started_s, outcome)
        self.lane.counts.resent += outcome.resent * batch.number
        if outcome.kept:
            refused = min(outcome.rejected, batch.number)
            self.lane.keep(batch, refused)
            self._reset()
            self.failing = outcome if refused else None
            return 0
        self.failing = outcome
        if outcome.too_large and batch.number > 1:
            self.lane.give_back(*batch.halves())
            return 2
        if not outcome.retry:
            self.lane.drop(batch, outcome.cause)
            return 0
        batch.doubtful = batch.doubtful or outcome.doubtful
        self.lane.give_back(batch)
        self._pause(outcome.after_s)
        return None

    def _consume(self, batch: Batch, timeout_s: float | None) -> Outcome:
        try:
            return self.consumer.consume(batch, timeout_s)
        except Exception as error:
            report(f"{type(self.consumer).__name__}.consume")
            kind = type(error).__name__
            return Outcome(False, cause=kind, reason=f"{kind} in otel-session itself; the log has its traceback")

    def _pause(self, after_s: float | None) -> None:
        self._failures += 1
        self._asked_pause = after_s is not None
        if after_s is None:
            # Many processes that lost the same far end must not come back at the same moment.
            spread = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
            after_s = min(_MOST_PAUSE_S, 2.0 ** min(self._failures - 1, 5)) * spread
        self._not_before_s = monotonic() + after_s
