"""One log line when delivery to a far end begins to fail, fails for another reason, or works again."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from otel_session._clock import monotonic

from .couriers import Courier

_log = logging.getLogger("otel_session")
_LEAST_BETWEEN_S = 30.0


class Reporter:
    """Watches the couriers of one worker. Of a far end that comes and goes it tells at most twice in 30 seconds."""

    def __init__(self, destination: str) -> None:
        self._destination = destination
        self.after_fork()

    def after_fork(self) -> None:
        """Forget what was told."""
        self._told: set[str] = set()
        self._since_s = self._last_s = float("-inf")
        self._dropped_before: dict[str, dict[str, int]] = {}

    def look(self, couriers: Sequence[Courier]) -> None:
        """Say what has changed."""
        failing = [c.failing for c in couriers if c.failing is not None]
        if not failing:
            if self._told:
                self._say_well(couriers)
            return
        now_s = monotonic()
        for outcome in failing:
            first = not self._told
            if not outcome.reason or outcome.cause in self._told:
                continue
            if now_s - self._last_s < _LEAST_BETWEEN_S and first:
                continue
            if first:
                self._since_s = now_s
                self._dropped_before = {c.lane.what: dict(c.lane.counts.dropped) for c in couriers}
            self._told.add(outcome.cause)
            self._last_s = now_s
            self._say_failing(outcome.reason, couriers)

    def _say_failing(self, reason: str, couriers: Sequence[Courier]) -> None:
        waiting = _counted((c.lane.what, c.lane.held_count) for c in couriers)
        limits = couriers[0].lane.limits
        _log.warning(
            "otel-session cannot deliver to %s: %s. Waiting: %s, for at most %g s and %.3g MB each; dropped so far: "
            "%s. The application is not affected.",
            self._destination,
            reason,
            waiting or "nothing",
            limits.max_age_s,
            limits.max_bytes / 1e6,
            self._dropped(couriers) or "none",
        )

    def _say_well(self, couriers: Sequence[Courier]) -> None:
        _log.warning(
            "otel-session delivers to %s again, after %.0f s. Dropped meanwhile: %s.",
            self._destination,
            monotonic() - self._since_s,
            self._dropped(couriers) or "none",
        )
        self._told = set()

    def _dropped(self, couriers: Iterable[Courier]) -> str:
        found = []
        for courier in couriers:
            before = self._dropped_before.get(courier.lane.what, {})
            for reason, count in sorted(courier.lane.counts.dropped.items()):
                found.append((f"{courier.lane.what} ({reason})", count - before.get(reason, 0)))
        return _counted(found)


def _counted(found: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {what}" for what, count in found if count)
