"""A lane's bounds: bytes, age, and what is counted when they are reached."""

import gc
import sys
import threading

import pytest

from otel_session.wire.batches import Batch
from otel_session.wire.lanes import Lane, Limits
from otel_session.wire.origins import Origin

ORIGIN = Origin(b"resource", "", b"scope", "")
OTHER = Origin(b"resource", "", b"other", "")


def lane(**limits: float) -> Lane:
    return Lane("spans", Limits(**limits), lambda full: None)  # type: ignore[arg-type]


def names(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [item for _, items in batch.items for item in items]


def test_order_and_origins() -> None:
    """What is put comes out in the order of its origin, each origin once a batch."""
    ours = lane()
    for number, origin in enumerate((ORIGIN, OTHER, ORIGIN)):
        ours.put(origin, number, 100)
    ours.seal()
    batch = ours.take()
    assert batch is not None
    assert [(origin, items) for origin, items in batch.items] == [(ORIGIN, [0, 2]), (OTHER, [1])]
    assert (batch.number, batch.size) == (3, 300)
    assert (ours.held_count, ours.held_bytes) == (3, 300)
    ours.keep(batch)
    assert (ours.held_count, ours.held_bytes, ours.counts.delivered) == (0, 0, 3)


def test_bytes_are_exact() -> None:
    """No more than the limit is held, what is being handed over included; the oldest batch goes for the newest item."""
    ours = lane(max_bytes=1_000, batch_bytes=250)
    for number in range(10):
        ours.put(ORIGIN, number, 100)
    taken = ours.take()
    assert names(taken) == [0, 1, 2]
    for number in range(10, 20):
        ours.put(ORIGIN, number, 100)
        assert ours.held_bytes <= 1_000
    assert 8 <= ours.held_count <= 10  # whole batches of three go
    assert ours.counts.dropped == {"queue_full": 20 - ours.held_count}
    assert taken is not None
    ours.give_back(taken)
    assert names(ours.take()) == [0, 1, 2]
    while (batch := ours.take()) is not None:
        oldest = names(batch)[0]
        assert oldest > 9
    assert ours.held_bytes <= 1_000


def test_larger_than_the_lane() -> None:
    """An item that never fits is dropped and counted, and nothing goes for it."""
    ours = lane(max_bytes=1_000, batch_bytes=250)
    for number in range(6):
        ours.put(ORIGIN, number, 100)
    ours.put(ORIGIN, "huge", 1_001)
    assert ours.held_count == 6
    assert ours.counts.dropped == {"queue_full": 1}


def test_age_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is dropped when its oldest item is older than the limit, not before, also when it was tried."""
    now_s = [100.0]
    monkeypatch.setattr("otel_session.wire.lanes.monotonic", lambda: now_s[0])
    ours = lane(max_age_s=10)
    ours.put(ORIGIN, 1, 100)
    now_s[0] += 4
    ours.put(ORIGIN, 2, 100)
    ours.seal()
    ours.put(ORIGIN, 3, 100)
    ours.seal()
    now_s[0] += 6
    batch = ours.take()
    assert names(batch) == [1, 2]
    assert batch is not None
    ours.give_back(batch)
    now_s[0] += 0.001
    assert names(ours.take()) == [3]
    assert ours.counts.dropped == {"expired": 2}


def test_closed() -> None:
    """A closed lane takes nothing and counts it; what it holds can be taken until it is abandoned, and is counted."""
    ours = lane()
    for number in range(4):
        ours.put(ORIGIN, number, 100)
    ours.close()
    ours.put(ORIGIN, 4, 100)
    ours.seal()
    batch = ours.take()
    assert names(batch) == [0, 1, 2, 3]
    assert batch is not None
    ours.abandon()
    ours.keep(batch)  # its delivery ended after all was given up
    assert (ours.held_count, ours.held_bytes, ours.counts.delivered) == (0, 0, 0)
    assert ours.counts.dropped == {"already_shutdown": 1, "shutdown_timeout": 4}


def test_repeats_are_counted() -> None:
    """A batch that may have arrived counts as repeated when it is handed over again, and as handed over once."""
    ours = lane()
    ours.put(ORIGIN, 1, 100)
    ours.seal()
    for doubtful in (False, True, False):
        batch = ours.take()
        assert batch is not None
        batch.doubtful = batch.doubtful or doubtful
        ours.give_back(batch)
    assert (ours.counts.handed, ours.counts.resent) == (1, 1)


def test_halves() -> None:
    """Half a batch and half a batch are the batch, in its order; an odd one too."""
    ours = lane()
    for number in range(7):
        ours.put((ORIGIN, OTHER)[number % 2], number, 10)
    ours.seal()
    batch = ours.take()
    assert batch is not None
    first, second = batch.halves()
    assert sorted(names(first) + names(second)) == list(range(7))
    assert (first.number, second.number) == (len(names(first)), len(names(second)))
    assert (first.number, first.size + second.size) == (3, 70)
    ours.give_back(first, second)
    assert names(ours.take()) == names(first)
    assert (ours.held_count, ours.held_bytes) == (7, 70)


@pytest.fixture
def busy_interpreter() -> object:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_interpreter")
def test_many_threads() -> None:
    """Eight threads put while one takes, with a switch every microsecond: each item once, every count right."""
    ours, taken = lane(batch_bytes=2_000), []
    putters = [
        threading.Thread(target=lambda n=n: [ours.put(ORIGIN, (n, i), 100) for i in range(2_000)]) for n in range(8)
    ]
    for thread in putters:
        thread.start()
    while any(thread.is_alive() for thread in putters) or ours.held_count:
        if not ours.waiting:
            ours.seal()
        if (batch := ours.take()) is not None:
            taken += names(batch)
            ours.keep(batch)
    assert len(taken) == len(set(taken)) == 16_000
    assert (ours.held_bytes, ours.counts.delivered, ours.counts.dropped) == (0, 16_000, {})


class _Ending:
    """Puts something when it is disposed of, as a span does whose last reference was in a reference cycle."""

    def __init__(self, ours: Lane) -> None:
        self.cycle, self.ours = self, ours

    def __del__(self) -> None:
        self.ours.put(ORIGIN, "late", 50)


def test_a_put_in_a_put() -> None:
    """Garbage collection in the middle of `put` may end a span: it does not wait for itself, and all is counted."""
    ours = lane(batch_bytes=1_000)
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(2_000):
            _Ending(ours)
            ours.put(Origin(b"resource", "", str(number).encode(), ""), number, 100)
    finally:
        gc.set_threshold(*before)
    gc.collect()
    ours.seal()
    found = []
    while (batch := ours.take()) is not None:
        found += names(batch)
        assert batch.number == len(names(batch))
        ours.keep(batch)
    assert sorted(map(str, found)) == sorted([*map(str, range(2_000)), *["late"] * 2_000])
    assert (ours.held_count, ours.held_bytes) == (0, 0)
