"""What was written is what is read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_session.exceptions import StoreError
from otel_session.store import FLAG_CONFIRMED, LogRow, MetricRow, SpanRow, StoreReader, TelemetryStore
from tests.store.rows import SECOND, UNCAPPED, log, metric, span, trace_id, visit


def test_rows_come_back_as_they_were(path: Path) -> None:
    """Every column of every kind of row is read back equal, odd values included."""
    odd_span = SpanRow("ü\x00", b"", b"", b"", 0, 2**63 - 1, "", 2**31, b"", b"", b"")
    full_span = SpanRow(
        "a", os.urandom(16), b"span-id!", b"parent!!", 7, 5, "GET /ß", 15, b"r", b"s", os.urandom(99_999)
    )
    odd_log = LogRow("a", b"", b"", 0, 24, "session.start", 1, b"r2", b"", b"\x00")
    odd_metric = MetricRow(2**63 - 1, "", b"", b"s", b"")
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[odd_span, full_span], logs=[odd_log], metrics=[odd_metric])
    with StoreReader(path) as reader:
        assert reader.spans("ü\x00") == [odd_span]
        assert reader.spans("a") == [full_span]
        assert reader.logs("a") == [odd_log]
        assert reader.metrics() == [odd_metric]


def test_what_sqlite_cannot_keep_is_cut(path: Path) -> None:
    """A time of 64 bits and half a surrogate pair are cut to what fits; the rest of the batch is unharmed."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[span("good"), span("odd\ud800", at_ns=2**64 - 1, name="\udfff")], logs=[log("good")])
    with StoreReader(path) as reader:
        odd = reader.spans("odd?")[0]
        assert (odd.start_ns, odd.end_ns, odd.name) == (2**63 - 1, 2**63 - 1, "?")
        assert len(reader.spans("good")) == len(reader.logs("good")) == 1
        assert reader.find("odd\ud800") == ["odd?"]


def test_by_time_whatever_the_order_of_writing(path: Path) -> None:
    """Spans, log records and metrics are in the order of their time."""
    times = [5, 1, 9, 3]
    with TelemetryStore(path, **UNCAPPED) as store:
        for t in times:
            store.write(spans=[span(at_ns=t)], logs=[log(at_ns=t)], metrics=[metric(at_ns=t)])
    with StoreReader(path) as reader:
        assert [row.start_ns for row in reader.spans("s")] == sorted(times)
        assert [row.time_ns for row in reader.logs("s")] == sorted(times)
        assert [row.time_ns for row in reader.metrics()] == sorted(times)


def test_unknown_gives_nothing(path: Path) -> None:
    """What is not there is an empty answer, not an error."""
    with TelemetryStore(path, **UNCAPPED), StoreReader(path) as reader:
        assert reader.spans("x") == reader.logs("x") == reader.trace(b"x") == reader.metrics(name="x") == []
        assert reader.find("x") == reader.sessions() == []
        assert set(reader.counts().values()) == {0}


def test_find_by_prefix(path: Path) -> None:
    """A prefix finds all ids that start with it, letter for letter; the id equal to it comes first."""
    ids = ["ab", "abc", "abd", "aB", "b", "a%", "a_"]
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[span(session_id) for session_id in ids])
    with StoreReader(path) as reader:
        assert reader.find("ab") == ["ab", "abc", "abd"]
        assert reader.find("abc") == ["abc"]
        assert reader.find("a%") == ["a%"]
        assert reader.find("") == sorted(ids)


def test_trace_across_sessions_and_writes(path: Path) -> None:
    """A trace is found by its id in whatever sessions and writes its spans came, among many other traces."""
    mine = [span("a", trace=7, at_ns=3), span(None, trace=7, at_ns=1), span("b", trace=7, at_ns=2)]
    with TelemetryStore(path, **UNCAPPED) as store:
        for number, row in enumerate(mine):
            store.write(spans=[row])
            store.write(spans=[span("c", trace=1_000_000 * (number + 1) + n) for n in range(5_000)])
    with StoreReader(path) as reader:
        assert reader.trace(trace_id(7)) == sorted(mine, key=lambda row: row.start_ns)
        assert len(reader.trace(trace_id(2_000_042))) == 1


def test_metrics_by_name_and_time(path: Path) -> None:
    """Metrics are narrowed by name and by time of collection."""
    rows = [metric("a", at_ns=1), metric("b", at_ns=2), metric("a", at_ns=3)]
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(metrics=rows)
    with StoreReader(path) as reader:
        assert reader.metrics() == rows
        assert reader.metrics(name="a") == [rows[0], rows[2]]
        assert reader.metrics(since_ns=2) == rows[1:]
        assert reader.metrics(name="a", since_ns=2) == [rows[2]]


def test_resource_and_scope_are_kept_once(path: Path, ask: Callable[[str], Any]) -> None:
    """A thousand rows with the same resource and scope add two values to the file."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=visit("a", at_ns=SECOND, spans=1_000), logs=[log("a")], metrics=[metric()])
        store.write(spans=visit("b", at_ns=SECOND))
    assert ask("SELECT count(*) FROM shared") == 2
    with StoreReader(path) as reader:
        rows = reader.spans("a")
        assert rows[0].resource is rows[-1].resource


def test_a_thousand_spans_in_fifty_milliseconds(path: Path) -> None:
    """A session's 1,000 spans, written between those of 200 others, are read in less than 50 ms."""
    long = visit("long", at_ns=0, spans=1_000)
    with TelemetryStore(path, **UNCAPPED) as store:
        for n in range(0, 1_000, 5):
            store.write(spans=long[n : n + 5] + [row for m in range(10) for row in visit(f"{m}", at_ns=n, spans=20)])
    times = []
    with StoreReader(path) as reader:
        for _ in range(7):
            began = time.perf_counter()
            assert len(reader.spans("long")) == 1_000
            times.append(time.perf_counter() - began)
    assert min(times) < 0.05


def test_the_session_queries_use_their_indexes(path: Path) -> None:
    """No look-up that people wait for reads a whole table."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[span(flags=FLAG_CONFIRMED)])
    plans: list[str] = []
    with StoreReader(path) as reader, reader._handle.use() as connection:
        connection.set_trace_callback(lambda query: query.startswith(("SELECT", "WITH")) and plans.append(query))
        reader.sessions(confirmed_only=False)
        reader.spans("s")
        reader.logs("s")
        reader.trace(trace_id(1))
        reader.find("s")
        reader.log_kinds(["s"])
        list(reader.request_bodies(["s"], any_of=[b"user"]))
        connection.set_trace_callback(None)
        steps = [row[3] for plan in plans for row in connection.execute(f"EXPLAIN QUERY PLAN {plan}")]
    assert len(plans) >= 7
    tables = ("sessions", "spans", "logs", "traces", "shared")
    assert [step for step in steps if step.startswith(tuple(f"SCAN {table}" for table in tables))] == []


def test_nothing_after_close(path: Path) -> None:
    """A closed store and a closed reader say so; closing twice is allowed."""
    store = TelemetryStore(path, **UNCAPPED)
    reader = StoreReader(path)
    for opened in (store, reader):
        opened.close()
        opened.close()
    with pytest.raises(StoreError, match="closed"):
        store.write(spans=[span()])
    with pytest.raises(StoreError, match="closed"):
        reader.sessions()
