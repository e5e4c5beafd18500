"""Units of work over two databases of a real server, in one phase and in two."""

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Column, Integer, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, declarative_base
from sqlalchemy.pool import NullPool

from otel_session import testing
from tests.instrumentors.sqlalchemy.databases import Database
from tests.servers import Server

UNIT = "sqlalchemy.unit_of_work"
NAMES = ("binds_orders", "binds_stock")
OrdersBase: Any = declarative_base()
StockBase: Any = declarative_base()


class Order(OrdersBase):
    """In the first database."""

    __tablename__ = "bound"
    id = Column(Integer, primary_key=True)


class Stock(StockBase):
    """In the second."""

    __tablename__ = "bound"
    id = Column(Integer, primary_key=True)


@pytest.fixture
def engines(postgresql: Server, connect: Any, telemetry: testing.Captured) -> list[Any]:
    """Two databases of one server, with a table each."""
    control: Database = connect("postgresql+psycopg2", isolation_level="AUTOCOMMIT")
    for name in NAMES:
        control.run(lambda c, name=name: c.execute(text(f"drop database if exists {name}")))
        control.run(lambda c, name=name: c.execute(text(f"create database {name}")))
    made = [create_engine(postgresql.url("postgresql+psycopg2", name), poolclass=NullPool) for name in NAMES]
    for engine, base in zip(made, (OrdersBase, StockBase), strict=True):
        base.metadata.create_all(engine)
    telemetry.clear()
    return made


def _orm(engines: list[Any], **options: Any) -> Session:
    first, second = engines
    return Session(binds={OrdersBase: first, StockBase: second}, **options)


def _rows(engines: list[Any]) -> list[int]:
    found = []
    for engine in engines:
        with engine.connect() as connection:
            found.append(connection.execute(text("select count(*) from bound")).scalar_one())
    return found


def _prepared(engine: Any) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("select count(*) from pg_prepared_xacts")).scalar_one())


def _numbers(telemetry: testing.Captured) -> tuple[int, int]:
    commits, rollbacks = (telemetry.points(f"{UNIT}.{name}") for name in ("commits", "rollbacks"))
    return commits[0].value, rollbacks[0].value


def _told(telemetry: testing.Captured) -> tuple[dict[str, Any], dict[tuple[str, str], int]]:
    """The one unit of work, and how often what is in it: by name and database."""
    (unit,) = [node for node in testing.tree(telemetry.spans()) if node["name"] == UNIT]
    return unit, Counter((child["name"], child["attributes"]["db.namespace"]) for child in unit["children"])


def _each(*names: str) -> dict[tuple[str, str], int]:
    return {(name, database): 1 for name in names for database in NAMES}


def test_two_databases(engines: list[Any], telemetry: testing.Captured) -> None:
    """One unit of work; each database has its own connection, statement and COMMIT in it."""
    with _orm(engines) as orm:
        orm.add_all([Order(id=1), Stock(id=1)])
        orm.commit()
    unit, inside = _told(telemetry)
    assert unit["attributes"] == {
        f"{UNIT}.outcome": "commit",
        f"{UNIT}.statements": 2,
        f"{UNIT}.flushed.new": 2,
        f"{UNIT}.flushed.dirty": 0,
        f"{UNIT}.flushed.deleted": 0,
    }
    assert inside == _each("connect", "INSERT bound", "COMMIT")
    assert _numbers(telemetry) == (2, 0)
    assert _rows(engines) == [1, 1]


def test_two_phases(engines: list[Any], telemetry: testing.Captured) -> None:
    """PREPARE TRANSACTION and COMMIT PREPARED for each; what is counted as COMMIT is the second."""
    with _orm(engines, twophase=True) as orm:
        orm.add_all([Order(id=1), Stock(id=1)])
        orm.commit()
    unit, inside = _told(telemetry)
    assert unit["attributes"][f"{UNIT}.outcome"] == "commit"
    assert inside == _each("connect", "INSERT bound", "PREPARE TRANSACTION", "COMMIT PREPARED")
    assert _numbers(telemetry) == (2, 0)
    assert (_rows(engines), _prepared(engines[0])) == ([1, 1], 0)


def test_two_phases_taken_back(engines: list[Any], telemetry: testing.Captured) -> None:
    """`prepare()` and `rollback()`: what was prepared is rolled back as such."""
    with _orm(engines, twophase=True) as orm:
        orm.add_all([Order(id=1), Stock(id=1)])
        orm.prepare()
        orm.rollback()
    unit, inside = _told(telemetry)
    assert unit["attributes"][f"{UNIT}.outcome"] == "rollback"
    assert inside == _each("connect", "INSERT bound", "PREPARE TRANSACTION", "ROLLBACK PREPARED")
    assert _numbers(telemetry) == (0, 2)
    assert (_rows(engines), _prepared(engines[0])) == ([0, 0], 0)


def test_two_phases_of_which_the_first_fails(engines: list[Any], telemetry: testing.Captured) -> None:
    """One database refuses in its flush: both are rolled back, plainly, since nothing was prepared."""
    with _orm(engines) as orm:
        orm.add(Stock(id=1))
        orm.commit()
    telemetry.clear()
    commits, rollbacks = _numbers(telemetry)
    with _orm(engines, twophase=True) as orm:
        orm.add_all([Order(id=1), Stock(id=1)])
        with pytest.raises(DBAPIError):
            orm.commit()
    unit, inside = _told(telemetry)
    assert unit["attributes"][f"{UNIT}.outcome"] == "rollback"
    assert unit["attributes"]["error.type"] == "psycopg2.errors.UniqueViolation"
    assert inside == _each("connect", "INSERT bound", "ROLLBACK")
    assert _numbers(telemetry) == (commits, rollbacks + 2)
    assert (_rows(engines), _prepared(engines[0])) == ([0, 1], 0)
