"""Ends of units of work that only a real server makes."""

import contextlib
import gc
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from otel_session import held_connections, testing
from otel_session.instrumentors.sqlalchemy.units import KEY
from tests.instrumentors.sqlalchemy.databases import Database
from tests.servers import Server

UNIT = "sqlalchemy.unit_of_work"
OFFICIAL = "opentelemetry.instrumentation.sqlalchemy"
NONSENSE = text("select * from nowhere")


@pytest.fixture
def engine(postgresql: Server, telemetry: testing.Captured) -> Iterator[Any]:
    gc.collect()
    made = create_engine(postgresql.url("postgresql+psycopg2"))
    yield made
    made.dispose()


def _numbers(telemetry: testing.Captured) -> tuple[int, int]:
    commits, rollbacks = (telemetry.points(f"{UNIT}.{name}") for name in ("commits", "rollbacks"))
    return commits[0].value, rollbacks[0].value


def _unit(telemetry: testing.Captured) -> Any:
    return next(span for span in telemetry.spans() if span.name == UNIT)


def _check_undone(telemetry: testing.Captured) -> None:
    assert _numbers(telemetry) == (0, 1)
    told = _unit(telemetry).attributes
    assert told[f"{UNIT}.outcome"] == "rollback"
    assert told[f"{UNIT}.rollback.reason"] == told["error.type"]
    assert told["error.type"].endswith(("UndefinedTable", "UndefinedTableError"))


@pytest.mark.parametrize("driver", ["postgresql+psycopg2", "postgresql+psycopg"])
def test_a_commit_answered_with_rollback(driver: str, connect: Any, telemetry: testing.Captured) -> None:
    """PostgreSQL has given the transaction up when a statement failed: it is no commit, though nobody raises."""
    with Session(connect(driver).engine) as orm:
        with contextlib.suppress(DBAPIError):
            orm.execute(NONSENSE)
        orm.commit()
    _check_undone(telemetry)


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg_async"])
def test_a_commit_answered_with_rollback_in_asyncio(driver: str, connect: Any, telemetry: testing.Captured) -> None:
    """The same where the driver does not say in which state the transaction is."""
    database: Database = connect(driver)

    async def work() -> None:
        async with AsyncSession(database.engine) as orm:
            with contextlib.suppress(DBAPIError):
                await orm.execute(NONSENSE)
            await orm.commit()

    database.loop.run_until_complete(work())
    _check_undone(telemetry)


def test_a_commit_after_a_savepoint_of_the_connection(connect: Any, telemetry: testing.Captured) -> None:
    """A savepoint that no ORM event tells of: the transaction goes on, and its COMMIT is one."""
    database: Database = connect("postgresql+asyncpg")

    async def work() -> None:
        async with AsyncSession(database.engine) as orm:
            connection = await orm.connection()
            savepoint = await connection.begin_nested()
            with contextlib.suppress(DBAPIError):
                await orm.execute(NONSENSE)
            await savepoint.rollback()
            await orm.commit()

    database.loop.run_until_complete(work())
    assert _numbers(telemetry) == (1, 0)
    assert _unit(telemetry).attributes[f"{UNIT}.outcome"] == "commit"


def test_a_commit_after_an_error_while_fetching(engine: Any, telemetry: testing.Captured) -> None:
    """A server-side cursor's FETCH fails after its statement did not: the transaction is given up all the same."""
    with Session(engine) as orm:
        rows = orm.execute(text("select 1 / (3 - n) from generate_series(1, 9) as n").execution_options(yield_per=1))
        with pytest.raises(DBAPIError):
            rows.all()
        orm.commit()
    assert _numbers(telemetry) == (0, 1)
    assert _unit(telemetry).attributes[f"{UNIT}.rollback.reason"] == "psycopg2.errors.DivisionByZero"


@pytest.mark.parametrize("driver", ["postgresql+psycopg2", "postgresql+asyncpg"])
def test_a_commit_answered_with_rollback_beside_the_official_instrumentation(
    driver: str, connect: Any, telemetry: testing.Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where another instrumentation records the statements, and their errors."""
    database: Database = connect(driver)

    class EngineTracer:
        """Listens as the official one does; that itself refuses this SQLAlchemy."""

        __module__ = f"{OFFICIAL}.engine"

        def before(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> Any:
            return statement, parameters

    monkeypatch.setitem(sys.modules, OFFICIAL, types.ModuleType(OFFICIAL))
    sync_engine = getattr(database.engine, "sync_engine", database.engine)
    event.listen(sync_engine, "before_cursor_execute", EngineTracer().before, retval=True)

    async def work() -> None:
        async with AsyncSession(database.engine) as orm:
            with contextlib.suppress(DBAPIError):
                await orm.execute(NONSENSE)
            await orm.commit()

    if database.driver.is_async:
        database.loop.run_until_complete(work())
    else:
        with Session(database.engine) as orm:
            with contextlib.suppress(DBAPIError):
                orm.execute(NONSENSE)
            orm.commit()
    assert [span.name for span in telemetry.spans()] == ["COMMIT", UNIT]
    _check_undone(telemetry)


AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}


@pytest.mark.parametrize("how", ["engine", "engine_option", "connection_option", "no"])
def test_no_commit_is_told_where_none_is_sent(how: str, postgresql: Server, telemetry: testing.Captured) -> None:
    """In AUTOCOMMIT PostgreSQL commits each statement by itself: by its own count the ORM session sent no COMMIT."""
    with create_engine(postgresql.url("postgresql+psycopg2"), isolation_level="AUTOCOMMIT").connect() as control:
        control.execute(text("drop database if exists autocommitted"))
        control.execute(text("create database autocommitted"))
    url = postgresql.url("postgresql+psycopg2", "autocommitted")
    engine = create_engine(url, poolclass=NullPool, **(AUTOCOMMIT if how == "engine" else {}))
    if how == "engine_option":
        engine = engine.execution_options(**AUTOCOMMIT)
    with engine.connect() as connection:  # SQLAlchemy asks for the server's version at the first one
        connection.close()
    telemetry.clear()
    before = _server_commits(postgresql)
    for end in ("commit", "rollback", "close"):
        with Session(engine) as orm:
            if how == "connection_option":
                orm.connection(execution_options=AUTOCOMMIT)
            for _ in range(3):
                orm.execute(text("select 1"))
            getattr(orm, end)()
    sent = 1 if how == "no" else 0
    starts = 3  # the server counts one for each connection
    assert _server_commits(postgresql) - before == starts + (1 if sent else 9)
    assert _numbers(telemetry) == (sent, 2 * sent)
    names = [span.name for span in telemetry.spans()]
    assert (names.count("COMMIT"), names.count("ROLLBACK") > 0) == (sent, bool(sent))
    outcomes = [span.attributes[f"{UNIT}.outcome"] for span in telemetry.spans() if span.name == UNIT]
    assert outcomes == ["commit", "rollback", "close"]


def _server_commits(postgresql: Server) -> int:
    """What the server has counted for the database, once the connections there have ended and told it."""
    asked = text("select xact_commit from pg_stat_database where datname = 'autocommitted'")
    others = text("select count(*) from pg_stat_activity where datname = 'autocommitted'")
    control = create_engine(postgresql.url("postgresql+psycopg2"), **AUTOCOMMIT)
    with suppress_instrumentation(), control.connect() as connection:
        while connection.execute(others).scalar_one():
            time.sleep(0.01)
        time.sleep(0.1)
        return int(connection.execute(asked).scalar_one())


@pytest.mark.parametrize("driver", ["mysql+pymysql"])
def test_mysql_is_sent_a_commit_in_autocommit_too(driver: str, connect: Any, telemetry: testing.Captured) -> None:
    """Its drivers send what they are told to, and the server counts it."""
    database: Database = connect(driver, **AUTOCOMMIT)
    count = text("show global status like 'Com_commit'")
    with Session(database.engine) as orm:
        before = int(orm.execute(count).one()[1])
        orm.commit()
        assert int(orm.execute(count).one()[1]) == before + 1
    assert _numbers(telemetry)[0] == 1


def test_a_rollback_that_fails(engine: Any, telemetry: testing.Captured) -> None:
    """SQLAlchemy tells of no end when the ROLLBACK of `close()` fails: the unit of work ends all the same."""
    orm = Session(engine)
    with engine.connect() as other:
        other.execute(text("select pg_terminate_backend(:pid)"), {"pid": orm.scalar(text("select pg_backend_pid()"))})
    with pytest.raises(DBAPIError):
        orm.close()
    assert _unit(telemetry).attributes[f"{UNIT}.outcome"] == "close"
    assert _unit(telemetry).attributes["error.type"].startswith("psycopg2.")
    assert _numbers(telemetry) == (0, 0)
    assert all(not hasattr(record, KEY) for record in engine.pool._pool.queue)


def test_a_leak_gives_its_connection_back_at_once(engine: Any, telemetry: testing.Captured) -> None:
    """One garbage collection is enough for it, as it is without us; its ROLLBACK is counted once."""
    Session(engine).execute(text("select 1"))
    gc.collect()
    assert held_connections() == []
    assert _numbers(telemetry) == (0, 1)
    assert _unit(telemetry).attributes[f"{UNIT}.outcome"] == "leaked"
