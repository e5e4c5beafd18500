"""A program that serves made-up requests for a while: prints the 99th percentile of their time in µs, and memory.

Arguments: endpoint, protocol, seconds, bytes that may wait.
"""

import resource
import sys
import time

from tests.pipeline.made import exporter_to, made

ATTRIBUTES = {"db.system.name": "sqlite", "db.operation.name": "SELECT", "db.collection.name": "deals", "n": 1}


def main(url: str, protocol: str, seconds: float, max_bytes: int) -> None:
    """Serve: one request is ten spans and some work."""
    took: list[float] = []
    with made(exporter_to(url, protocol, 1.0), linger_s=0.1, queue_max_bytes=max_bytes) as ours:
        end_s = time.perf_counter() + seconds
        held = 0
        while (now_s := time.perf_counter()) < end_s:
            for number in range(10):
                ours.tracer.start_span(str(number), attributes=ATTRIBUTES).end()
            sum(i * i for i in range(3_000))
            took.append(time.perf_counter() - now_s)
            held = max(held, ours.lane.held_bytes)
        took.sort()
        memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(took[len(took) * 99 // 100] * 1e6, memory_kib, held, len(took), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
