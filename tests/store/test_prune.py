"""What goes when the caps ask for it, and what stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_session.store import FLAG_CONFIRMED, FLAG_ERROR, FLAG_REQUEST, FLAG_STATEMENT, StoreReader, TelemetryStore
from tests.store.rows import SECOND, UNCAPPED, ago, log, metric, size_of, span, trace_id, visit

MIB = 1024 * 1024


def prune(path: Path, *, max_bytes: int = 0, max_age_s: float = 0) -> int:
    with TelemetryStore(path, max_bytes=max_bytes, max_age_s=max_age_s) as store:
        return store.prune()


def held(path: Path) -> dict[str, tuple[int, int]]:
    """Spans and log records that are really there, by session id."""
    with StoreReader(path) as reader:
        return {id: (len(reader.spans(id)), len(reader.logs(id))) for id in reader.find("")}


def test_whole_sessions_by_last_activity(path: Path) -> None:
    """Sessions go whole, the one that was active longest ago first, wherever their rows lie and whenever they began."""
    count = 60
    with TelemetryStore(path, **UNCAPPED) as store:
        # Session 0 began last and was active longest ago; their rows lie mixed.
        for part in range(5):
            for n in range(count):
                began = (count - n) * SECOND if part == 0 else (1_000 + n + part) * SECOND
                store.write(spans=visit(f"{n:02}", at_ns=began, spans=20), logs=[log(f"{n:02}", at_ns=began)])
    before = size_of(path)
    gone = prune(path, max_bytes=before // 2)
    left = held(path)
    assert 20 < gone < 45
    assert left == {f"{n:02}": (100, 5) for n in range(gone, count)}


def test_nothing_goes_below_the_caps(path: Path) -> None:
    """A store within its caps, or without any, loses nothing."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=visit("old", at_ns=0), logs=[log(None, at_ns=0)], metrics=[metric(at_ns=0)])
    assert prune(path) == 0
    assert prune(path, max_bytes=10 * MIB) == 0
    with StoreReader(path) as reader:
        assert reader.counts() == {"sessions": 1, "unconfirmed": 0, "spans": 100, "logs": 1, "metrics": 1}


def test_file_and_log_shrink(path: Path) -> None:
    """After pruning, file and write-ahead log together are below the cap, and small when all is gone."""
    with TelemetryStore(path, **UNCAPPED) as store:
        for n in range(100):
            store.write(spans=visit(f"{n}", at_ns=n * SECOND))
        assert size_of(path) > 5 * MIB
    with TelemetryStore(path, max_bytes=2 * MIB, max_age_s=0) as store:
        store.prune()
        assert MIB < size_of(path) <= 2 * MIB
    with TelemetryStore(path, max_bytes=0, max_age_s=1) as store:
        store.prune()
        assert size_of(path) < 200_000


def test_by_age(path: Path) -> None:
    """The age cap takes sessions without activity since, and older rows without a session and metrics; no others."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[span("old", at_ns=ago(200)), span("active", at_ns=ago(200))])
        store.write(spans=[span("active", at_ns=ago(10)), span(None, at_ns=ago(200)), span(None, at_ns=ago(10))])
        store.write(logs=[log(None, at_ns=ago(200)), log(None, at_ns=ago(10)), log("old", at_ns=ago(150))])
        store.write(metrics=[metric("old", at_ns=ago(200)), metric("new", at_ns=ago(10))])
    assert prune(path, max_age_s=100) == 1
    assert held(path) == {"active": (2, 0)}
    with StoreReader(path) as reader:
        assert reader.counts() == {"sessions": 0, "unconfirmed": 1, "spans": 3, "logs": 1, "metrics": 1}
        assert [row.name for row in reader.metrics()] == ["new"]


def test_young_rows_are_kept_where_nothing_else_is(path: Path) -> None:
    """The age cap takes no row without a session, and no metric, that is younger."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[span(None, at_ns=ago(200)), span(None, at_ns=ago(50))])
    prune(path, max_age_s=100)
    with TelemetryStore(path, **UNCAPPED) as store, StoreReader(path) as reader:
        assert reader.counts()["spans"] == 1
        store.write(metrics=[metric(at_ns=ago(200)), metric(at_ns=ago(20))])
    prune(path, max_age_s=30)
    with StoreReader(path) as reader:
        assert (reader.counts()["spans"], reader.counts()["metrics"]) == (0, 1)


def test_by_age_while_writing(path: Path) -> None:
    """A writer deletes what is too old by itself, without anybody calling prune()."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=visit("old", at_ns=ago(200)), metrics=[metric(at_ns=ago(200))])
    with TelemetryStore(path, max_bytes=0, max_age_s=100) as store:
        store.write(spans=[span("new", at_ns=ago(0))])
    assert held(path) == {"new": (1, 0)}


def test_a_session_that_never_ends_loses_its_oldest_rows(path: Path) -> None:
    """A session above half the cap loses its oldest rows, not the others their place; its counts follow."""
    begin = ago(3_600)
    flags = FLAG_REQUEST | FLAG_STATEMENT | FLAG_ERROR
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=visit("small", at_ns=begin + 900 * SECOND))
        for n in range(100):
            store.write(
                spans=[
                    span("endless", at_ns=begin + (n * 100 + m) * SECOND // 10, flags=flags, body=bytes(400), trace=n)
                    for m in range(100)
                ],
                logs=[log("endless", at_ns=begin + n * 10 * SECOND, flags=FLAG_ERROR)],
            )
    assert prune(path, max_bytes=2 * MIB) == 0
    assert size_of(path) <= 2 * MIB
    left = held(path)
    assert left["small"] == (100, 0)
    assert 1_000 < left["endless"][0] < 5_000
    with StoreReader(path) as reader:
        rows, logs = reader.spans("endless"), reader.logs("endless")
        assert [row.start_ns for row in rows] == [begin + (10_000 - n) * SECOND // 10 for n in range(len(rows), 0, -1)]
        summary = next(s for s in reader.sessions() if s.session_id == "endless")
        assert summary.first_ns == min(rows[0].start_ns, logs[0].time_ns)
        assert summary.spans == summary.requests == summary.failed_requests == summary.statements == len(rows)
        assert summary.logs == summary.error_logs == len(logs)
        assert reader.trace(trace_id(0)) == []
        assert len(reader.trace(trace_id(99))) == 100


def test_rows_without_a_session_go_by_their_age(path: Path) -> None:
    """Telemetry without a session goes oldest first, and takes no session with it that was active later."""
    begin = ago(10_000)
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=visit("oldest", at_ns=begin - 100 * SECOND))
        for n in range(100):
            store.write(
                spans=[span(None, at_ns=begin + (n * 100 + m) * SECOND // 10, body=bytes(400)) for m in range(80)],
                logs=[log(None, at_ns=begin + (n * 100 + m) * SECOND // 10, body=bytes(400)) for m in range(20)],
            )
        store.write(spans=visit("later", at_ns=begin + 5_000 * SECOND))
    assert prune(path, max_bytes=2 * MIB) == 1
    assert held(path) == {"later": (100, 0)}
    with StoreReader(path) as reader, reader._handle.use() as connection:
        times = "SELECT start_ns FROM spans WHERE session = 0 UNION ALL SELECT time_ns FROM logs WHERE session = 0"
        left = sorted(row[0] for row in connection.execute(times))
    assert 1_000 < len(left) < 5_000
    assert left[0] > begin + 500 * SECOND
    assert left[-1] == begin + (99 * 100 + 79) * SECOND // 10


def test_metrics_go_by_their_age(path: Path) -> None:
    """Metrics share the cap with all else: the oldest go first."""
    begin = ago(10_000)
    with TelemetryStore(path, **UNCAPPED) as store:
        for n in range(100):
            store.write(metrics=[metric(at_ns=begin + n * SECOND, body=bytes(1_000)) for _ in range(50)])
        store.write(spans=visit("later", at_ns=begin + 5_000 * SECOND))
    assert prune(path, max_bytes=2 * MIB) == 0
    with StoreReader(path) as reader:
        times = [row.time_ns for row in reader.metrics()]
        assert held(path) == {"later": (100, 0)}
    assert 500 < len(times) < 2_500
    assert times[0] > begin + 40 * SECOND
    assert times[-1] == begin + 99 * SECOND


def test_a_session_too_long_for_one_step_vanishes_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader sees a session whole or not at all, also when its rows are deleted in several transactions."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=visit("long", at_ns=ago(200), spans=5_000), logs=[log("long", at_ns=ago(200))])
        store.write(spans=[span("new", at_ns=ago(0))])
    seen: list[object] = []
    with StoreReader(path) as reader:
        last = reader.spans("long")[-1].trace_id

        def look(_: float) -> None:
            seen.append((reader.find(""), reader.spans("long"), reader.trace(last), reader.counts()["spans"]))

        monkeypatch.setattr("otel_session.store.prune.time.sleep", look)
        assert prune(path, max_age_s=100) == 1
    assert len(seen) > 2
    assert all(view == (["new"], [], [], 1) for view in seen)


def test_others_write_during_a_prune(path: Path) -> None:
    """While one thread prunes, others write through the same store without waiting for its end."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[row for n in range(200) for row in visit(f"{n}", at_ns=ago(200))])
    with TelemetryStore(path, max_bytes=0, max_age_s=100) as store:
        pruning = threading.Thread(target=store.prune)
        pruning.start()
        done = 0
        while pruning.is_alive():
            store._pruner._next_age_check = time.monotonic() + 60  # a write would else delete its share too
            store.write(logs=[log("new", at_ns=ago(0))])
            done += pruning.is_alive()
        pruning.join()
    assert done > 2
    assert held(path) == {"new": (0, pytest.approx(done, abs=1))}


def test_a_pruned_session_may_come_back(path: Path) -> None:
    """Rows for a session that was pruned begin it anew, with none of its former counts."""
    with TelemetryStore(path, max_bytes=0, max_age_s=100) as store:
        store.write(spans=[span("s", at_ns=ago(200), flags=FLAG_CONFIRMED)])
        assert held(path) == {}
        store.write(spans=[span("s", at_ns=ago(0))])
    with StoreReader(path) as reader:
        assert [(s.confirmed, s.spans) for s in reader.sessions(confirmed_only=False)] == [(False, 1)]


def test_nothing_is_left_behind(path: Path, ask: Callable[[str], Any]) -> None:
    """When all rows are gone, so are their traces, resources and scopes, and the index of none of them is wrong."""
    with TelemetryStore(path, **UNCAPPED) as store:
        for n in range(20):
            store.write(
                spans=visit(f"{n}", at_ns=ago(300)),
                logs=[log(None, at_ns=ago(300))],
                metrics=[metric(at_ns=ago(300))],
            )
            store.write(spans=[span("kept", at_ns=ago(300 - n), resource=b"mine", trace=5)])
        store.write(spans=[span("kept", at_ns=ago(0), resource=b"mine", trace=5)])
    assert prune(path, max_age_s=100) == 20
    assert ask("SELECT count(*) FROM shared") == 2
    assert ask("SELECT uses FROM shared WHERE value = CAST('mine' AS BLOB)") == 21 + 1
    assert ask("SELECT count(DISTINCT trace_id) FROM traces") == 1
    assert ask("SELECT count(*) FROM doomed") == 0
    assert ask("PRAGMA freelist_count") == 0
    assert ask("PRAGMA integrity_check") == "ok"
    prune(path, max_bytes=1)
    for table in ("sessions", "spans", "logs", "metrics", "traces", "shared", "doomed"):
        assert ask(f"SELECT count(*) FROM {table}") == 0


def test_names_without_end(path: Path, ask: Callable[[str], Any]) -> None:
    """Resources and names that never repeat do not outgrow the cap either."""
    with TelemetryStore(path, max_bytes=MIB, max_age_s=0) as store:
        for n in range(40):
            at_ns = ago(100 - n)
            rows = [span(f"{n}", at_ns=at_ns, resource=b"%d-%d" % (n, m), name=f"{n}-{m}" * 20) for m in range(250)]
            store.write(spans=rows)
            assert size_of(path) < 2.2 * MIB
    assert ask("SELECT count(*) FROM shared") < 5_000
