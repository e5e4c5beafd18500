"""The size cap under load."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from otel_session.store import StoreReader, TelemetryStore
from tests.store.processes import finish, start
from tests.store.rows import ago, size_of, visit

MIB = 1024 * 1024
CAP = 16 * MIB
BATCH_BYTES = 690 * 550
"""What a batch of _LOAD takes in the file, about; in the log it is up to three times as much."""

_LOAD = """
    import sys, time
    from otel_session.store import TelemetryStore
    from tests.store.rows import log, metric, span, visit
    end, n = time.monotonic() + float(sys.argv[3]), 0
    with TelemetryStore(sys.argv[1], max_bytes=int(sys.argv[4]), max_age_s=0) as store:
        while time.monotonic() < end:
            n, now = n + 1, time.time_ns()
            ids = [f"{sys.argv[2]}-{(n + m * 7) // 3}" for m in range(5)]
            rows = [row for id in ids for row in visit(id, at_ns=now)]
            rows += [span(None, at_ns=now, body=bytes(400)) for _ in range(60)]
            rows += [span("endless", at_ns=now + 10**9, body=bytes(400)) for _ in range(100)]
            store.write(spans=rows, logs=[log(None, at_ns=now)] * 20, metrics=[metric(at_ns=now)] * 10)
    print(n)
"""


def test_the_cap_holds_under_two_writers(path: Path, ask: Callable[[str], Any]) -> None:
    """Two processes write several times the cap as fast as they can: file and log never exceed what is documented.

    Afterwards a prune brings both below the cap, and the newest sessions are those that stayed.
    """
    writers = [start(_LOAD, path, name, 6, CAP) for name in "ab"]
    largest = 0
    while any(writer.poll() is None for writer in writers):
        largest = max(largest, size_of(path))
        time.sleep(0.005)
    batches = sum(int(finish(writer)) for writer in writers)
    assert batches * BATCH_BYTES > 3 * CAP
    assert CAP * 0.9 < largest < 1.05 * CAP + CAP / 8 + len(writers) * 4 * BATCH_BYTES
    with TelemetryStore(path, max_bytes=CAP, max_age_s=0) as store:
        store.prune()
        assert CAP // 2 < size_of(path) <= CAP
    with StoreReader(path) as reader:
        sessions = reader.sessions(limit=10_000, confirmed_only=False)
        assert sum(len(reader.spans(session.session_id)) for session in sessions) == sum(s.spans for s in sessions)
        endless = next(session for session in sessions if session.session_id == "endless")
        assert 0.2 * CAP < endless.spans * 500 < 0.75 * CAP
    assert ask("PRAGMA integrity_check") == "ok"
    with TelemetryStore(path, max_bytes=CAP // 4, max_age_s=0) as store:
        store.prune()
        assert size_of(path) <= CAP // 4


def test_a_lowered_cap_is_reached_by_writing(path: Path) -> None:
    """A store opened with a smaller cap than it has comes down to it by writes alone, none of which stops for long."""
    with TelemetryStore(path, max_bytes=0, max_age_s=0) as store:
        for n in range(200):
            store.write(spans=visit(f"old-{n}", at_ns=ago(1_000 - n), spans=500))
    before = size_of(path)
    assert before > 40 * MIB
    longest = 0.0
    with TelemetryStore(path, max_bytes=10 * MIB, max_age_s=0) as store:
        for n in range(100):
            began = time.perf_counter()
            store.write(spans=visit(f"new-{n}", at_ns=ago(100 - n), spans=10))
            longest = max(longest, time.perf_counter() - began)
        assert size_of(path) < 1.05 * 10 * MIB + 10 * MIB / 8
    assert longest < 3
    with StoreReader(path) as reader:
        assert len(reader.sessions(limit=1_000, confirmed_only=False)) > 100
        assert len(reader.find("new-")) == 100
