"""Sessions are found by what their rows hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from otel_session.store import FLAG_ERROR, FLAG_REQUEST, FLAG_STATEMENT, StoreReader, TelemetryStore
from otel_session.store.records import LogKind
from tests.store.rows import RESOURCE, SCOPE, SECOND, UNCAPPED, log, span


def test_sessions_by_their_requests(path: Path) -> None:
    """Bytes, duration and the caller's own question are about one request; other spans do not count."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(
            spans=[
                span("a", flags=FLAG_REQUEST, body=b"..needle.."),
                span("b", flags=FLAG_REQUEST, body=b"..other.."),
                span("c", flags=FLAG_STATEMENT, body=b"..needle.."),
                span(None, flags=FLAG_REQUEST, body=b"..needle.."),
                replace(span("d", flags=FLAG_REQUEST, body=b"..needle.."), end_ns=0, start_ns=0),
            ]
        )
    with StoreReader(path) as reader:
        assert reader.sessions_requesting() == {"a", "b", "d"}
        assert reader.sessions_requesting(any_of=[b"needle"]) == {"a", "d"}
        assert reader.sessions_requesting(any_of=[b"needle"], min_ns=SECOND) == {"a"}
        assert reader.sessions_requesting(any_of=[b"no", b"other"]) == {"b"}
        assert reader.sessions_requesting(accept=lambda body: b"other" in body) == {"b"}
        assert [row.session_id for row in reader.requests_holding(b"needle", limit=2)] == [None, "d"]
        assert list(reader.request_bodies(["a", "b", "c"], any_of=[b"needle"])) == [("a", b"..needle..")]


def test_more_sessions_than_one_statement_takes(path: Path) -> None:
    """A thousand and more ids are asked for in several statements."""
    ids = [f"{number:04}" for number in range(1_200)]
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[span(session_id, flags=FLAG_REQUEST) for session_id in ids], logs=[log(i) for i in ids])
    with StoreReader(path) as reader:
        assert reader.sessions_requesting(any_of=[b"body"]) == set(ids)
        assert sorted(session_id for session_id, _ in reader.request_bodies(ids, any_of=[b"body"])) == ids
        assert sorted(session_id for session_id, _ in reader.log_kinds(ids)) == ids


def test_log_records_by_kind(path: Path) -> None:
    """Records are counted by scope, by whether they are events, and by whether they are WARN or above."""
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(
            logs=[
                log("a"),
                log("a"),
                replace(log("a"), severity=13),
                replace(log("a"), event_name="session.start"),
                replace(log("a"), scope=b"other"),
                log("b"),
            ],
            spans=[span("c", resource=RESOURCE)],
        )
    with StoreReader(path) as reader:
        kinds = reader.log_kinds(["a", "c"])
    assert {session_id for session_id, _ in kinds} == {"a"}
    assert {kind for _, kind in kinds} == {
        LogKind(SCOPE, False, False, 2),
        LogKind(SCOPE, False, True, 1),
        LogKind(SCOPE, True, False, 1),
        LogKind(b"other", False, False, 1),
    }


def test_the_listing_narrowed(path: Path) -> None:
    """Trouble is a failed request or an error record; ids narrow before the limit counts, and the count too."""
    with TelemetryStore(path, **UNCAPPED) as store:
        for number in range(6):
            flags = FLAG_REQUEST | (FLAG_ERROR if number == 1 else 0)
            store.write(
                spans=[span(f"s{number}", at_ns=number * SECOND, flags=flags)],
                logs=[log(f"s{number}", at_ns=number * SECOND, flags=FLAG_ERROR if number == 4 else 0)],
            )
    with StoreReader(path) as reader:

        def listed(**options: object) -> list[str]:
            return [summary.session_id for summary in reader.sessions(confirmed_only=False, **options)]

        assert listed(troubled_only=True) == ["s4", "s1"]
        assert listed(among={"s0", "s2", "s3"}, limit=2) == ["s3", "s2"]
        assert listed(among={"s1", "s2"}, troubled_only=True) == ["s1"]
        assert listed(among=set()) == []
        assert reader.unconfirmed_count(among={"s0", "s2", "gone"}) == 2
        assert reader.unconfirmed_count(troubled_only=True) == 2
        assert reader.unconfirmed_count(troubled_only=True, among={"s1"}, since_ns=3 * SECOND) == 0
