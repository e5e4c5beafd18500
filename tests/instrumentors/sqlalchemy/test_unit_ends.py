"""Ends of units of work that only a real server makes."""

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from otel_session import held_connections, testing
from otel_session.instrumentors.sqlalchemy.units import KEY
from tests.instrumentors.sqlalchemy.databases import Database
from tests.servers import Server

UNIT = "sqlalchemy.unit_of_work"
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
