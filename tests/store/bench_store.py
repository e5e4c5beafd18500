"""How fast the store writes and reads, run by hand: `python tests/store/bench_store.py [millions of spans]`.

Rows of 330 bytes, traces of 7 spans, sessions of about 100 spans, 1,000 of them active at a time, batches of 2,000.
"""

from __future__ import annotations

import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from otel_session.store import FLAG_REQUEST, FLAG_STATEMENT, SpanRow, StoreReader, TelemetryStore

BATCH = 2_000
STEP = 500_000
LONG, LONG_TRACES = "long", 143


def batches(spans: int) -> Iterator[list[SpanRow]]:
    """Rows as a busy application would make them; one session, LONG, has 1,001 spans."""
    resource, scopes = os.urandom(600), [b"scope-%d" % n for n in range(3)]
    active = [(f"{n:032x}", 100) for n in range(1_000)]
    count, now_ns, rows, bodies = 1_000, time.time_ns(), [], [os.urandom(330) for _ in range(100)]
    for number in range(math.ceil(spans / 7)):
        index = random.randrange(len(active))
        session_id, left = active[index]
        if left <= 0:
            session_id, left = f"{(count * 2654435761) % 2**64:032x}", 100
            count += 1
        active[index] = (session_id, left - 7)
        if number % 7 == 0 and number < LONG_TRACES * 7:
            session_id = LONG
        trace_id, root = os.urandom(16), os.urandom(8)
        for place in range(7):
            now_ns += 1_000
            rows.append(
                SpanRow(
                    session_id,
                    trace_id,
                    os.urandom(8),
                    root if place else b"",
                    now_ns,
                    now_ns + 500_000,
                    "SELECT deals" if place else "GET /deals/{id}",
                    FLAG_STATEMENT if place else FLAG_REQUEST,
                    resource,
                    scopes[place % 3],
                    bodies[place],
                )
            )
        if len(rows) >= BATCH:
            yield rows[:BATCH]
            rows = rows[BATCH:]


class Rate(NamedTuple):
    """How fast so many spans were written: by the clock, and by the processor time it took (as on a quiet machine)."""

    spans: int
    per_s: float
    per_cpu_s: float
    slowest_s: float


def written(store: TelemetryStore, spans: int, step: int = STEP) -> Iterator[Rate]:
    """Write, and give the rates of each `step` spans."""
    done, wall, cpu, slowest = 0, 0.0, 0.0, 0.0
    for rows in batches(spans):
        began, began_cpu = time.perf_counter(), time.process_time()
        store.write(spans=rows)
        took = time.perf_counter() - began
        wall, cpu, slowest, done = wall + took, cpu + time.process_time() - began_cpu, max(slowest, took), done + BATCH
        if done % step == 0:
            yield Rate(done, step / wall, step / cpu, slowest)
            wall = cpu = slowest = 0.0


def write(store: TelemetryStore, spans: int) -> None:
    """Print the rates of each STEP spans."""
    for rate in written(store, spans):
        rates = f"{rate.per_s:9,.0f} spans/s  {rate.per_cpu_s:9,.0f} spans per CPU second"
        print(f"{rate.spans:10,} spans  {rates}  slowest write {rate.slowest_s * 1e3:6.1f} ms", flush=True)


def timed(what: str, call: Callable[[], object]) -> None:
    """Print the best of five."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - began)
    size = f"{len(result)} rows" if isinstance(result, list) else result
    print(f"{min(times) * 1e3:9.2f} ms  {what}: {size}")


def read(path: Path) -> None:
    """Print how long each question takes."""
    with StoreReader(path) as reader:
        newest = reader.sessions(confirmed_only=False)
        trace_id = reader.spans(newest[-1].session_id)[0].trace_id
        timed("a session of 1,000 spans", lambda: reader.spans(LONG))
        timed("a session of 100 spans", lambda: reader.spans(newest[-1].session_id))
        timed("a trace", lambda: reader.trace(trace_id))
        timed("newest 50 confirmed sessions", reader.sessions)
        timed("newest 50 sessions", lambda: reader.sessions(confirmed_only=False))
        timed("unconfirmed", reader.unconfirmed_count)
        timed("find by prefix", lambda: reader.find(newest[0].session_id[:20]))
        timed("counts", reader.counts)


def main(millions: float) -> None:
    """Write without a cap, read, then write on with a cap of what is there: each write then deletes as much."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "telemetry.db"
        with TelemetryStore(path, max_bytes=0, max_age_s=0) as store:
            write(store, int(millions * 1_000_000))
        print(f"{path.stat().st_size / 2**20:,.0f} MiB")
        read(path)
        cap = path.stat().st_size
        print(f"with a cap of {cap:,} bytes:")
        with TelemetryStore(path, max_bytes=cap, max_age_s=0) as store:
            write(store, int(millions * 500_000))
            print(f"{sum(file.stat().st_size for file in Path(folder).iterdir()) / cap:.3f} of the cap")
        with TelemetryStore(path, max_bytes=cap // 4, max_age_s=0) as store:
            began = time.perf_counter()
            sessions = store.prune()
            print(f"pruned {sessions:,} sessions, three quarters, in {time.perf_counter() - began:.1f} s")
        print(f"{path.stat().st_size / 2**20:,.0f} MiB")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
