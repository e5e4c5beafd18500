"""Statements that fail, are cancelled, or fail while their rows are fetched; and failures of our own."""

import asyncio
import logging
from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import StaticPool

import otel_session
from otel_session import _guard, testing
from otel_session.instrumentors.sqlalchemy import SQLAlchemyInstrumentor, fetching, queries
from tests.spans import but_connects

FAILS_WHILE_FETCHING = (
    "select abs(case when value = 2 then -9223372036854775808 else value end) from json_each('[1,2]')"
)


def _events(telemetry: testing.Captured) -> list[Any]:
    return [log.log_record for log in telemetry.logs() if log.log_record.event_name]


def test_an_error_while_fetching_is_one_event(telemetry: testing.Captured) -> None:
    """The span has ended well by then: one event with the statement, the error and the ids, and no second one."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection, otel_session.bound_session("run-1"), pytest.raises(OperationalError):
        connection.execute(text(FAILS_WHILE_FETCHING)).all()

    (span,) = but_connects(telemetry)
    assert span.status.status_code == StatusCode.UNSET
    (told,) = _events(telemetry)
    assert told.event_name == "db.client.operation.exception"
    assert told.severity_text == "WARN"
    wanted = {
        "db.system.name": "sqlite",
        "db.query.summary": "SELECT",
        "error.type": "sqlite3.OperationalError",
        "exception.type": "sqlite3.OperationalError",
        "session.id": "run-1",
    }
    assert wanted.items() <= dict(told.attributes).items()


def test_an_error_of_the_statement_is_no_event(telemetry: testing.Captured) -> None:
    """It is on the span already."""
    with create_engine("sqlite://").connect() as connection, pytest.raises(OperationalError):
        connection.execute(text("select * from nowhere"))

    (span,) = but_connects(telemetry)
    assert (span.attributes or {})["error.type"] == "sqlite3.OperationalError"
    assert _events(telemetry) == []


def test_a_commit_that_fails_raises_as_ever(telemetry: testing.Captured, connect: Any) -> None:
    """A deferred constraint fails at COMMIT: no statement, no event, the application gets its error."""
    database = connect("postgresql+psycopg2")
    make = "CREATE TABLE failing_deferred (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)"
    database.run(lambda c: (c.execute(text("DROP TABLE IF EXISTS failing_deferred")), c.execute(text(make))))
    with pytest.raises(DBAPIError):
        database.run(lambda c: c.execute(text("INSERT INTO failing_deferred VALUES (1), (1)")))
    assert _events(telemetry) == []


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg_async"])
def test_a_cancelled_statement_ends_its_span(driver: str, telemetry: testing.Captured, connect: Any) -> None:
    """The span ends at once with the cancellation as its error."""
    database = connect(driver)

    async def cancelled() -> None:
        async with database.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            telemetry.clear()
            await asyncio.wait_for(connection.execute(text("SELECT pg_sleep(30)")), 0.2)

    with pytest.raises(asyncio.TimeoutError):
        database.loop.run_until_complete(cancelled())

    (span,) = [s for s in but_connects(telemetry) if "pg_sleep" in str((s.attributes or {})["db.query.text"])]
    assert (span.attributes or {})["error.type"].endswith(("CancelledError", "QueryCanceled"))
    assert span.end_time - span.start_time < 5e9


def test_a_lost_connection_is_told(telemetry: testing.Captured, connect: Any) -> None:
    """The server ends the connection: the driver's error is on the span, the pool works on."""
    database = connect("postgresql+psycopg2")
    with pytest.raises(DBAPIError):
        database.run(lambda c: c.execute(text("SELECT pg_terminate_backend(pg_backend_pid())")))
    assert (but_connects(telemetry)[-1].attributes or {})["error.type"] == "psycopg2.OperationalError"
    assert database.run(lambda c: c.execute(text("SELECT 1")).scalar()) == 1


class _Broken:
    """Stands for a recorder's part; whatever is done with it fails."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("injected")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("injected")


@pytest.mark.parametrize("part", ["tracer", "_duration", "rule"])
def test_a_failure_of_ours_never_reaches_the_application(
    part: str, telemetry: testing.Captured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever part of the recorder fails, statements work and the failure is logged once."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    engine.connect().close()
    monkeypatch.setattr(_guard, "_reported", set())
    monkeypatch.setattr(SQLAlchemyInstrumentor()._recorder, part, _Broken())
    with caplog.at_level(logging.WARNING, "otel_session"), engine.connect() as connection:
        for _ in range(3):
            assert connection.execute(text("select 1")).scalar() == 1
        connection.execute(text("create table t (a int)"))
        connection.execute(text("insert into t values (:a)"), [{"a": 1}, {"a": 2}])
        with pytest.raises(OperationalError):
            connection.execute(text("select * from nowhere"))
    assert len([r for r in caplog.records if "otel-session failed" in r.message]) == 1


def test_a_failure_while_reading_an_error_still_ends_the_span(
    telemetry: testing.Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception whose attributes raise: the span ends, without the details."""
    monkeypatch.setattr(queries, "told_of", _Broken())
    with create_engine("sqlite://").connect() as connection, pytest.raises(OperationalError):
        connection.execute(text("select * from nowhere"))
    assert len(but_connects(telemetry)) == 1


def test_a_failure_in_hearing_of_an_error_never_reaches_the_application(
    telemetry: testing.Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hears of it fails: the application gets its own error."""
    monkeypatch.setattr(fetching, "told_of", _Broken())
    with create_engine("sqlite://").connect() as connection, pytest.raises(OperationalError, match="overflow"):
        connection.execute(text(FAILS_WHILE_FETCHING)).all()
