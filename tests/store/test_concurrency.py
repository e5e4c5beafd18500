"""Several processes and threads at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from otel_session.store import StoreReader, TelemetryStore
from tests.store.processes import finish, start
from tests.store.rows import UNCAPPED, log, span, visit

_WRITER = """
    import sys
    from otel_session.store import TelemetryStore
    from tests.store.rows import log, span
    with TelemetryStore(sys.argv[1], max_bytes=0, max_age_s=0) as store:
        for number in range(200):
            # Each write is 10 spans and 10 log records, five for a session of its own and five for the common one.
            ids = [f"{sys.argv[2]}-{number}", "common"] * 5
            store.write(spans=[span(id) for id in ids], logs=[log(id) for id in ids])
"""


def test_two_processes_write_while_a_third_reads(path: Path, ask: Callable[[str], Any]) -> None:
    """A reader sees each write of two processes whole or not at all, waits for neither, and in the end sees all."""
    TelemetryStore(path, **UNCAPPED).close()
    writers = [start(_WRITER, path, name) for name in "ab"]
    looks, slowest = 0, 0.0
    with StoreReader(path) as reader:
        while any(writer.poll() is None for writer in writers):
            began = time.perf_counter()
            for summary in reader.sessions(confirmed_only=False, limit=1_000):
                assert summary.spans == summary.logs
                assert summary.spans % 5 == 0
                assert summary.session_id == "common" or summary.spans == 5
            counts = reader.counts()
            slowest = max(slowest, time.perf_counter() - began)
            assert counts["spans"] == counts["logs"]
            looks += 1
        for writer in writers:
            finish(writer)
        assert looks > 10
        assert slowest < 2
        assert reader.counts() == {"sessions": 0, "unconfirmed": 401, "spans": 4_000, "logs": 4_000, "metrics": 0}
        assert len(reader.spans("common")) == len(reader.logs("common")) == 2_000
    assert ask("PRAGMA integrity_check") == "ok"
    assert ask("SELECT uses FROM shared WHERE value = CAST('resource' AS BLOB)") == 8_000 + 401


def test_a_resting_reader_blocks_no_writer(path: Path) -> None:
    """Writes, and the pruning in them, go on at their pace while a reader stays in the middle of reading."""
    with TelemetryStore(path, max_bytes=2_000_000, max_age_s=0) as store, StoreReader(path) as reader:
        store.write(spans=[span("first")])
        with reader._handle.use() as connection:
            connection.execute("BEGIN")
            assert connection.execute("SELECT count(*) FROM spans").fetchone()[0] == 1
            times = []
            for n in range(40):
                began = time.perf_counter()
                store.write(spans=visit(f"{n}", at_ns=n * 10**9, spans=500))
                times.append(time.perf_counter() - began)
            assert connection.execute("SELECT count(*) FROM spans").fetchone()[0] == 1
            connection.execute("ROLLBACK")
    assert sorted(times)[20] < 0.08


def test_threads_share_a_store(path: Path, ask: Callable[[str], Any]) -> None:
    """Eight threads write and read through one store and one reader; nothing is lost or mixed."""
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for n in range(30):
                store.write(spans=[span(name, at_ns=n)], logs=[log("common")])
                assert [row.start_ns for row in reader.spans(name)] == list(range(n + 1))
        except BaseException as failure:
            failures.append(failure)

    with TelemetryStore(path, **UNCAPPED) as store, StoreReader(path) as reader:
        threads = [threading.Thread(target=work, args=(f"{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(reader.logs("common")) == 240
    assert ask("PRAGMA integrity_check") == "ok"


def test_a_writer_beside_one_that_never_rests(path: Path) -> None:
    """A small write beside a process that writes without a pause waits for less than a second."""
    busy = start(
        """
        import sys
        from otel_session.store import TelemetryStore
        from tests.store.rows import visit
        rows = [row for n in range(20) for row in visit(f"{n}", at_ns=n)]
        with TelemetryStore(sys.argv[1], max_bytes=0, max_age_s=0) as store:
            print("ready", flush=True)
            for _ in range(50):
                store.write(spans=rows)
        """,
        path,
    )
    assert busy.stdout is not None
    assert busy.stdout.readline() == "ready\n"
    times = []
    with TelemetryStore(path, **UNCAPPED) as store:
        while busy.poll() is None:
            began = time.perf_counter()
            store.write(spans=[span("small")])
            times.append(time.perf_counter() - began)
            time.sleep(0.01)
    finish(busy)
    assert len(times) > 5
    assert sorted(times)[len(times) // 2] < 0.2
    assert max(times) < 3
