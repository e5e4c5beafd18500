"""The memory of ids met lately."""

import sys
import threading
import tracemalloc

from otel_session.recent_ids import RecentIds


def test_the_first_time_only() -> None:
    """An id is new once, also when it comes again as another object."""
    recent = RecentIds()
    found = [recent.first_time("".join(["v", "1"])) for _ in range(3)]

    assert found == [True, False, False]
    assert "v1" in recent
    assert "v2" not in recent


def test_the_latest_are_kept() -> None:
    """Of a flood the latest half at least is remembered, and never more than all that may be."""
    recent = RecentIds(1_000)
    for number in range(25_500):
        assert recent.first_time(f"v{number}")
        assert len(recent) <= 1_000

    assert all(f"v{number}" in recent for number in range(25_000, 25_500))
    assert "v1" not in recent


def test_who_comes_again_stays() -> None:
    """An id that is met again and again is not new again, however many others come."""
    recent = RecentIds(100)
    recent.first_time("again")
    for number in range(1_000):
        recent.first_time(f"v{number}")
        assert not recent.first_time("again"), number


def test_threads_at_once() -> None:
    """Of several threads that meet an id at once, one is told that it is new."""
    recent, threads, told = RecentIds(), 4, []
    together = threading.Barrier(threads)

    def meet() -> None:
        mine = []
        for number in range(2_000):
            together.wait(30)
            mine.append(recent.first_time(f"v{number}"))
        told.append(mine)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        started = [threading.Thread(target=meet) for _ in range(threads)]
        for one in started:
            one.start()
        for one in started:
            one.join(60)
    finally:
        sys.setswitchinterval(before)

    assert [sum(each) for each in zip(*told, strict=True)] == [1] * 2_000


def test_an_id_costs_a_hundred_bytes() -> None:
    """Ten thousand ids of 32 characters are less than a megabyte."""
    recent = RecentIds()
    tracemalloc.start()
    try:
        for number in range(9_999):
            recent.first_time(f"{number:032x}")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(recent) == 9_999
    assert held / len(recent) < 100, held
