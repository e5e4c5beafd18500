"""What the listing of sessions says."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from otel_session.store import (
    FLAG_CONFIRMED,
    FLAG_ERROR,
    FLAG_REQUEST,
    FLAG_STATEMENT,
    SessionSummary,
    StoreReader,
    TelemetryStore,
)
from tests.store.rows import SECOND, UNCAPPED, log, span


def test_counts_over_several_writes(path: Path) -> None:
    """A summary counts spans, requests, failed ones, statements, logs and errors of all writes together."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(
            spans=[
                span(at_ns=10 * SECOND, flags=FLAG_REQUEST, resource=b"r1"),
                span(at_ns=11 * SECOND, flags=FLAG_STATEMENT | FLAG_ERROR),
            ]
        )
        store.write(
            spans=[span(at_ns=5 * SECOND, flags=FLAG_REQUEST | FLAG_ERROR, resource=b"r2"), span(at_ns=6 * SECOND)],
            logs=[log(at_ns=20 * SECOND, flags=FLAG_ERROR), log(at_ns=4 * SECOND)],
        )
        with StoreReader(path) as reader:
            summaries = reader.sessions(confirmed_only=False)
    assert summaries == [
        SessionSummary(
            session_id="s",
            confirmed=False,
            first_ns=4 * SECOND,
            last_ns=20 * SECOND,
            spans=4,
            requests=2,
            failed_requests=1,
            statements=1,
            logs=2,
            error_logs=1,
            resources=(b"r1", b"resource", b"r2"),
        )
    ]


def test_last_activity_is_the_end_of_a_span(path: Path) -> None:
    """A session was last active when its latest span ended, not when that began."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[span(at_ns=10 * SECOND)])
    with StoreReader(path) as reader:
        assert reader.sessions(confirmed_only=False)[0].last_ns == 11 * SECOND


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_events_of_a_sessions_life_are_no_activity(path: Path, order: tuple[int, ...]) -> None:
    """Start and end events move neither first nor last activity, in whatever order and batches the rows come."""
    rows = [
        {"logs": [replace(log(at_ns=2 * SECOND, flags=FLAG_CONFIRMED), event_name="session.start")]},
        {"logs": [replace(log(at_ns=90 * SECOND), event_name="session.end")]},
        {"spans": [span(at_ns=10 * SECOND)]},
        {"logs": [replace(log(at_ns=12 * SECOND), event_name="order.placed")]},
    ]
    with TelemetryStore(path, **UNCAPPED) as store:
        for index in order:
            store.write(**rows[index])
    with StoreReader(path) as reader:
        (summary,) = reader.sessions()
    assert (summary.first_ns, summary.last_ns, summary.logs) == (10 * SECOND, 12 * SECOND, 3)


def test_a_session_of_nothing_but_its_end_is_as_old_as_that(path: Path) -> None:
    """Where nothing else is known the latest event's time stands for first and last, and the age cap goes by it."""
    with TelemetryStore(path, **UNCAPPED) as store:
        for at_s, event in ((5, "session.start"), (9, "session.end")):
            store.write(logs=[replace(log(at_ns=at_s * SECOND), event_name=event)])
    with StoreReader(path) as reader:
        (summary,) = reader.sessions(confirmed_only=False)
        assert (summary.first_ns, summary.last_ns) == (9 * SECOND, 9 * SECOND)
        assert reader.sessions(confirmed_only=False, since_ns=10 * SECOND) == []


@pytest.mark.parametrize(
    ("writes", "confirmed"),
    [
        ([[span(trace=1, flags=FLAG_REQUEST)]], False),
        ([[span(trace=1, flags=FLAG_REQUEST), span(trace=1, flags=FLAG_REQUEST)]], False),
        ([[span(trace=1, flags=FLAG_REQUEST), span(trace=2)]], False),
        ([[span(trace=1, flags=FLAG_REQUEST), span(trace=2, flags=FLAG_REQUEST)]], True),
        ([[span(trace=1, flags=FLAG_REQUEST)], [span(trace=1, flags=FLAG_REQUEST)]], False),
        ([[span(trace=1, flags=FLAG_REQUEST)], [span()], [span(trace=2, flags=FLAG_REQUEST)]], True),
        ([[span(flags=FLAG_CONFIRMED)]], True),
        ([[span()], [log(flags=FLAG_CONFIRMED)], [span()]], True),
    ],
)
def test_confirmed_by_flag_or_second_request(path: Path, writes: list[list[object]], confirmed: bool) -> None:
    """A session is confirmed by a flagged row or by requests of two traces, in one write or in several."""
    with TelemetryStore(path, **UNCAPPED) as store:
        for rows in writes:
            store.write(
                spans=[row for row in rows if hasattr(row, "start_ns")],
                logs=[row for row in rows if hasattr(row, "time_ns")],
            )
    with StoreReader(path) as reader:
        assert [summary.confirmed for summary in reader.sessions(confirmed_only=False)] == [confirmed]
        assert len(reader.sessions()) == confirmed
        assert reader.unconfirmed_count() == (not confirmed)


def test_unconfirmed_are_counted_since(path: Path) -> None:
    """Clients that never came back are counted, those active since a time alone when one is given."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[span(f"probe-{n}", at_ns=n * SECOND, trace=n, flags=FLAG_REQUEST) for n in range(100)])
        store.write(spans=[span("user", at_ns=99 * SECOND, flags=FLAG_CONFIRMED)])
    with StoreReader(path) as reader:
        assert reader.unconfirmed_count() == 100
        assert reader.unconfirmed_count(since_ns=91 * SECOND) == 10
        assert [summary.session_id for summary in reader.sessions()] == ["user"]


def test_newest_first_with_limit_and_since(path: Path) -> None:
    """The listing is by last activity, confirmed and not mixed when both are asked for."""
    with TelemetryStore(path, **UNCAPPED) as store:
        for n in range(6):
            store.write(spans=[span(f"s{n}", at_ns=n * SECOND, flags=FLAG_CONFIRMED if n % 2 else 0)])
        store.write(spans=[span("s1", at_ns=9 * SECOND)])
    with StoreReader(path) as reader:

        def listed(**options: object) -> list[str]:
            return [summary.session_id for summary in reader.sessions(**options)]

        assert listed() == ["s1", "s5", "s3"]
        assert listed(confirmed_only=False) == ["s1", "s5", "s4", "s3", "s2", "s0"]
        assert listed(confirmed_only=False, limit=2) == ["s1", "s5"]
        assert listed(since_ns=6 * SECOND) == ["s1", "s5"]


def test_rows_without_a_session_make_no_session(path: Path) -> None:
    """Telemetry without a session is kept and counted, and appears in no listing."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[span(None)], logs=[log(None), log(None)])
    with StoreReader(path) as reader:
        assert reader.sessions(confirmed_only=False) == []
        assert reader.counts() == {"sessions": 0, "unconfirmed": 0, "spans": 1, "logs": 2, "metrics": 0}
