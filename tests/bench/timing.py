"""Measure short things on a machine that others use: the best of several rounds, as tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

ROUNDS = 5
ROUND_S = 0.06


def best_us(work: Callable[[], object], items: int = 1) -> float:
    """CPU microseconds of this thread for each of the `items` that one call of `work` does: the least of the rounds."""
    work()
    count = 1
    while (took_s := _cpu_s(work, count)) < ROUND_S / 4:
        count *= 4
    count = max(1, int(count * ROUND_S / took_s))
    return min(_cpu_s(work, count) for _ in range(ROUNDS)) / count / items * 1e6


def _cpu_s(work: Callable[[], object], count: int) -> float:
    started_s = time.thread_time()
    for _ in range(count):
        work()
    return time.thread_time() - started_s


def with_threads(work: Callable[[], object], threads: int, calls: int) -> float:
    """CPU microseconds of a call, of all threads, when so many call at once; the least of the rounds."""

    def run() -> None:
        for _ in range(calls // threads):
            work()

    def round_s() -> float:
        made = [threading.Thread(target=run) for _ in range(threads)]
        started_s = time.process_time()
        for thread in made:
            thread.start()
        for thread in made:
            thread.join()
        return time.process_time() - started_s

    return min(round_s() for _ in range(ROUNDS)) / calls * 1e6


def print_beside(title: str, columns: tuple[str, str], rows: Iterable[tuple[str, float, float]]) -> None:
    """A table of two figures beside each other and their difference."""
    print(f"\n{title:<46} {columns[0]:>10} {columns[1]:>10} {'difference':>10}", flush=True)
    for what, first, second in rows:
        print(f"{what:<46} {first:>10.2f} {second:>10.2f} {first - second:>+10.2f}", flush=True)


def print_growth(what: str, figures: dict[int, float]) -> None:
    """One line: how a cost grows with a number."""
    shown = "  ".join(f"{number}: {us:.2f}" for number, us in figures.items())
    print(f"{what:<46} {shown}", flush=True)
