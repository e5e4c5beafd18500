"""The pools' metrics: all nine `db.client.connection.*`, the overflow, and the ledger's.

Everything that a pool knows is read when metrics are collected; only durations are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from otel_session import attributes as names
from otel_session import instruments
from otel_session.instrumentors.sqlalchemy.pool_ledger import Ledger
from otel_session.instrumentors.sqlalchemy.pool_names import Name
from otel_session.instrumentors.sqlalchemy.pool_watch import Counted, PoolWatch
from otel_session.instruments import Measured
from otel_session.observed import Kind, Observed, Reading
from otel_session.tallies import MAX_SERIES, Metric

_QUICK = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
_LONG = (*_QUICK, 30.0, 60.0, 300.0)
_CONNECTION = "{connection}"

Watches = Callable[[], Iterable[PoolWatch]]


class PoolDurations:
    """What is counted, each pool by its name."""

    def __init__(self, scope: str, meter_provider: Any = None) -> None:
        def measured(name: str, description: str, boundaries: tuple[float, ...]) -> Measured:
            return Measured(Metric(scope, name, "s", description, boundaries), meter_provider)

        create, wait, use = names.METRIC_POOL_CREATE_TIME, names.METRIC_POOL_WAIT_TIME, names.METRIC_POOL_USE_TIME
        self._create = measured(create, "The time it took to create a new connection.", _QUICK)
        self._wait = measured(wait, "The time it took to obtain an open connection from the pool.", _QUICK)
        self._use = measured(use, "The time between borrowing a connection and returning it to the pool.", _LONG)

        self._counted: dict[str, Counted] = {}

    def watch(self, name: Name) -> PoolWatch:
        """A watch of that name, which counts here."""
        about = {names.POOL_NAME: name.text}
        counted = self._counted.get(name.text) or Counted()
        if len(self._counted) < MAX_SERIES:
            self._counted[name.text] = counted
        return PoolWatch(name, counted, self._wait.series(about), self._use.series(about), self._create.series(about))


def observe(watches: Watches, ledger: Ledger, scope: str, meter_provider: Any = None) -> Callable[[], None]:
    """Put in force what is read. Gives a function that ends it."""
    ends = [instruments.observe(one, meter_provider) for one in _observed(watches, ledger, scope)]

    def end() -> None:
        for each in ends:
            each()

    return end


def _observed(watches: Watches, ledger: Ledger, scope: str) -> Iterator[Observed]:
    def level(
        name: str, description: str, read: Callable[[PoolWatch], int | None], unit: str = _CONNECTION
    ) -> Observed:
        def readings() -> Iterator[Reading]:
            for watch in watches():
                value = read(watch)
                if value is not None:
                    yield value, watch.attributes

        return Observed(Metric(scope, name, unit, description), Kind.LEVEL, readings)

    def states() -> Iterator[Reading]:
        for watch in watches():
            watch.count_postponed()
            counts = watch.counts()
            yield counts.used, {**watch.attributes, names.POOL_STATE: "used"}
            if counts.idle is not None:
                yield counts.idle, {**watch.attributes, names.POOL_STATE: "idle"}

    def timeouts() -> Iterator[Reading]:
        yield from ((watch.counted.timeouts, watch.attributes) for watch in watches())

    def leaks() -> Iterator[Reading]:
        ledger.look()
        yield from ((watch.counted.leaks, watch.attributes) for watch in watches())

    def longest() -> Iterator[Reading]:
        yield from ((ledger.longest_s(watch), watch.attributes) for watch in watches())

    yield Observed(
        Metric(scope, names.METRIC_POOL_COUNT, _CONNECTION, "The number of connections in each state."),
        Kind.LEVEL,
        states,
    )
    yield level(
        names.METRIC_POOL_IDLE_MAX,
        "The maximum number of idle open connections allowed.",
        lambda watch: watch.counts().idle_most,
    )
    yield level(names.METRIC_POOL_IDLE_MIN, "The minimum number of idle open connections allowed.", lambda _: 0)
    yield level(
        names.METRIC_POOL_MAX, "The maximum number of open connections allowed.", lambda watch: watch.counts().most
    )
    yield level(
        names.METRIC_POOL_PENDING,
        "The number of current pending requests for an open connection.",
        lambda watch: len(watch.waiting),
        "{request}",
    )
    yield level(
        names.METRIC_POOL_OVERFLOW,
        "Open connections beyond the pool's size.",
        lambda watch: watch.counts().overflow,
    )
    yield Observed(
        Metric(
            scope,
            names.METRIC_POOL_TIMEOUTS,
            "{timeout}",
            "The number of connection timeouts that have occurred trying to obtain a connection from the pool.",
        ),
        Kind.COUNT,
        timeouts,
    )
    yield Observed(
        Metric(scope, names.METRIC_POOL_LEAKS, _CONNECTION, "Connections held for longer than the leak threshold."),
        Kind.COUNT,
        leaks,
    )
    yield Observed(
        Metric(scope, names.METRIC_POOL_LONGEST_USE, "s", "How long the longest-held connection has been out."),
        Kind.GAUGE,
        longest,
    )
