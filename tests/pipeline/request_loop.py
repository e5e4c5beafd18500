"""A program that serves made-up requests when it is told to.

Arguments: endpoint, protocol, bytes that may wait, and a mistake to make on purpose (`none` for none). Each line on its
input asks for one window of so many seconds: it answers with the median, the 99th percentile and the mean of the
requests' time in µs, its memory in KiB, and the most bytes that have waited so far.

A request's time is what it took, less the time in which it could have run and other programs had the processors (Linux
tells it). Waiting for a lock, for the interpreter or for a far end counts.
"""

import os
import resource
import sys
import time
from typing import Any

from otel_session.wire.couriers import Courier
from otel_session.wire.workers import Worker
from tests.pipeline.made import Made, exporter_to, made

LINGER_S = 0.05  # so that a window has some sending in it, and that is no percentile of its requests
ATTRIBUTES = {"db.system.name": "sqlite", "db.operation.name": "SELECT", "db.collection.name": "deals", "n": 1}


def send_on_the_applications_thread() -> None:
    """A mistake: whoever ends a span waits for its delivery."""
    Worker._woken = lambda self, full: self.flush(1.0) and None  # type: ignore[method-assign, func-returns-value]


def hold_the_lock_while_sending() -> None:
    """A mistake: the lock that a span's end takes is held as long as the far end takes."""
    consume = Courier._consume

    def held(self: Courier, *arguments: Any) -> Any:
        with self.lane._lock:
            return consume(self, *arguments)

    Courier._consume = held  # type: ignore[method-assign]


try:
    _SCHEDULER = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
except OSError:  # no Linux
    _SCHEDULER = -1


def kept_waiting_s() -> float:
    """How long this thread could have run and had no processor, since its start."""
    return int(os.pread(_SCHEDULER, 100, 0).split()[1]) / 1e9 if _SCHEDULER >= 0 else 0.0


MISTAKES = {"none": lambda: None, "thread": send_on_the_applications_thread, "lock": hold_the_lock_while_sending}


def serve(ours: Made, seconds: float) -> list[float]:
    """One window: each request is ten spans and some work; how long each took, in seconds, sorted."""
    took: list[float] = []
    end_s = time.perf_counter() + seconds
    while (now_s := time.perf_counter()) < end_s:
        others_s = kept_waiting_s()
        for number in range(10):
            ours.tracer.start_span(str(number), attributes=ATTRIBUTES).end()
        sum(i * i for i in range(3_000))
        took.append(time.perf_counter() - now_s - (kept_waiting_s() - others_s))
    return sorted(took)


def main(url: str, protocol: str, max_bytes: int, mistake: str) -> None:
    """Serve window after window, until the input ends."""
    MISTAKES[mistake]()
    most = 0
    with made(exporter_to(url, protocol, 1.0), linger_s=LINGER_S, queue_max_bytes=max_bytes) as ours:
        for line in sys.stdin:
            took = serve(ours, float(line))
            most = max(most, ours.lane.held_bytes)
            memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            times_us = (
                each * 1e6 for each in (took[len(took) // 2], took[len(took) * 99 // 100], sum(took) / len(took))
            )
            print(*times_us, memory_kib, most, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
