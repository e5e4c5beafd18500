"""New connections: one span each, where it belongs, and what it may say when there is none."""

import asyncio
import socket
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool, StaticPool

import otel_session
from otel_session import testing
from otel_session.instrumentors.sqlalchemy import connects, unit_signals
from otel_session.instrumentors.sqlalchemy.pool_watch import PoolWatch
from tests.instrumentors.sqlalchemy.databases import DRIVERS, Database
from tests.servers import Server

UNIT = "sqlalchemy.unit_of_work"
MARK = "zq" + "mark" + "er7"


def _connects(telemetry: testing.Captured) -> list[Any]:
    return [span for span in telemetry.spans() if span.name == "connect"]


def _ask(engine: Any) -> None:
    with engine.connect() as connection:
        connection.execute(text("select 1")).all()


def _outline(node: dict[str, Any]) -> Any:
    name = node["name"].replace(UNIT, "unit")
    return (name, [_outline(child) for child in node["children"]]) if node["children"] else name


def _outlines(telemetry: testing.Captured) -> list[Any]:
    return [_outline(root) for root in testing.tree(telemetry.spans())]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine that nobody listens on, as long as the test lasts."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def _let_go(database: Database) -> None:
    """Close the connections of a database's pool."""
    closed = database.engine.dispose()
    if closed is not None:
        database.loop.run_until_complete(closed)


def _use(database: Database) -> None:
    """One unit of work."""

    async def work() -> None:
        async with AsyncSession(database.engine) as orm:
            await orm.execute(text("select 1"))

    if database.driver.is_async:
        database.loop.run_until_complete(work())
    else:
        with Session(database.engine) as orm:
            orm.execute(text("select 1"))


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_new_connection_is_one_span(driver: str, telemetry: testing.Captured, connect: Any) -> None:
    """It says which database, as its statements do, and nothing else; a connection used again has none."""
    database: Database = connect(driver)
    for _ in range(3):
        database.run(lambda c: c.execute(text("SELECT 1")).all())
    (span,) = _connects(telemetry)
    assert (span.kind, span.status.status_code, span.events) == (SpanKind.CLIENT, StatusCode.UNSET, ())
    statement = next(s.attributes for s in telemetry.spans() if "db.query.text" in s.attributes)
    where = ("db.system.name", "db.namespace", "server.address", "server.port")
    expected = {key: statement[key] for key in where if key in statement}
    if driver == "mysql+pymysql":  # that it is a MariaDB, it says when it is asked for its version
        expected["db.system.name"] = "mysql"
    assert dict(span.attributes) == expected
    assert sum(p.count for p in telemetry.points("db.client.connection.create_time")) >= 1

    telemetry.clear()
    _let_go(database)
    database.run(lambda c: c.execute(text("SELECT 1")).all())
    (span,) = _connects(telemetry)
    assert dict(span.attributes) == {key: statement[key] for key in where if key in statement}


REFUSED = {
    "postgresql+psycopg2": "psycopg2.OperationalError",
    "postgresql+psycopg": "psycopg.OperationalError",
    "postgresql+psycopg_async": "psycopg.OperationalError",
    "postgresql+asyncpg": "ConnectionRefusedError",
    "mysql+pymysql": "pymysql.err.OperationalError",
}


@pytest.mark.parametrize("driver", REFUSED)
def test_a_refused_connection(driver: str, closed_port: int, telemetry: testing.Captured) -> None:
    """Its span has failed with the driver's own error, and so has its unit of work; who it was for is not said."""
    url = f"{driver}://{MARK}:{MARK}@127.0.0.1:{closed_port}/shop"
    database = Database(driver, url)

    with pytest.raises((DBAPIError, OSError)):
        _use(database)
    database.dispose()

    span, unit = telemetry.spans()
    assert (span.name, span.parent.span_id) == ("connect", unit.context.span_id)
    for failed in (span, unit):
        assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, None)
        assert failed.attributes["error.type"] == REFUSED[driver]
        assert failed.events == ()
    about = {k: v for k, v in span.attributes.items() if k not in ("error.type", "db.response.status_code")}
    assert about == {
        "db.system.name": driver.split("+")[0],
        "db.namespace": "shop",
        "server.address": "127.0.0.1",
        "server.port": closed_port,
    }
    assert (unit.attributes[f"{UNIT}.outcome"], unit.attributes[f"{UNIT}.statements"]) == ("close", 0)
    assert MARK not in repr([dict(s.attributes) for s in telemetry.spans()])


def test_a_user_the_server_does_not_know(postgresql: Server, telemetry: testing.Captured) -> None:
    """PostgreSQL's message has the user's name: neither is told, on any signal."""
    url = postgresql.url("postgresql+psycopg2").replace("tester@", f"{MARK}:{MARK}@")
    with pytest.raises(DBAPIError, match=MARK), Session(create_engine(url)) as orm:
        orm.execute(text("select 1"))
    (span,) = _connects(telemetry)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert span.attributes["error.type"] == "psycopg2.OperationalError"
    (point,) = telemetry.points(f"{UNIT}.errors")
    assert (point.value, dict(point.attributes)) == (1, {"error.type": "psycopg2.OperationalError"})
    said = [(s.name, dict(s.attributes), s.events) for s in telemetry.spans()]
    said += [(log.log_record.body, dict(log.log_record.attributes or {})) for log in telemetry.logs()]  # type: ignore[misc]
    assert MARK not in repr(said)


def test_it_belongs_to_the_unit_of_work_it_is_made_for(telemetry: testing.Captured) -> None:
    """Also where making it takes another unit of work: a `creator=` that asks another database for the password."""
    vault = create_engine("sqlite://", poolclass=NullPool)

    def creator() -> Any:
        with Session(vault) as orm:
            assert orm.scalar(text("select 'secret'")) == "secret"
        return sqlite3.connect(":memory:")

    engine = create_engine("sqlite://", creator=creator, poolclass=NullPool)
    with Session(engine) as orm:
        orm.execute(text("select 2"))
    assert _outlines(telemetry) == [("unit", [("connect"), ("unit", ["connect", "SELECT"]), "SELECT"])]


def test_connections_made_at_once_by_tasks(
    connect: Any, telemetry: testing.Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is in the unit of work of its own task."""
    monkeypatch.setattr(unit_signals, "_SLOW_NS", 10**12)  # else a slow ROLLBACK has a span
    database: Database = connect("postgresql+asyncpg", pool_size=5)
    database.run(lambda c: c.execute(text("select 1")))
    telemetry.clear()
    tracer = telemetry.providers["tracer_provider"].get_tracer("app")

    async def work(number: int) -> None:
        with tracer.start_as_current_span(f"task {number}"):
            async with AsyncSession(database.engine) as orm:
                await orm.execute(text("select pg_sleep(0.1)"))

    async def all_of_it() -> None:
        await asyncio.gather(*[work(number) for number in range(5)])

    database.loop.run_until_complete(all_of_it())
    connected = ("unit", ["connect", "SELECT"])
    shapes = [outline[1] for outline in _outlines(telemetry)]
    assert sorted(shapes, key=repr) == sorted([*[[connected]] * 4, [("unit", ["SELECT"])]], key=repr)


def test_time_to_connect_is_no_idle_time(telemetry: testing.Captured) -> None:
    """Until there is a connection no transaction is idle."""

    def creator() -> Any:
        time.sleep(0.2)
        return sqlite3.connect(":memory:")

    def refuse() -> Any:
        time.sleep(0.2)
        raise ConnectionRefusedError

    with Session(create_engine("sqlite://", creator=creator)) as orm:
        orm.execute(text("select 1"))
    with pytest.raises(ConnectionRefusedError), Session(create_engine("sqlite://", creator=refuse)) as orm:
        orm.execute(text("select 1"))
    assert sum(p.sum for p in telemetry.points(f"{UNIT}.duration")) > 0.4
    assert sum(p.sum for p in telemetry.points(f"{UNIT}.idle.duration")) < 0.1


def test_a_pool_whose_engine_is_gone(telemetry: testing.Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as long as a statement has shown which database it is."""
    used, unused = (create_engine("sqlite://", poolclass=NullPool) for _ in range(2))
    _ask(used)
    telemetry.clear()
    monkeypatch.setattr(PoolWatch, "engines", lambda _: [])  # SQLAlchemy's own listeners keep it at times
    for engine in (used, unused):
        engine.pool.connect().close()  # type: ignore[no-untyped-call]
    (span,) = _connects(telemetry)
    assert dict(span.attributes) == {"db.system.name": "sqlite", "db.namespace": ":memory:"}


def test_engines_that_share_a_pool(telemetry: testing.Captured) -> None:
    """A connection is told once, whoever of them asked for it."""
    first = create_engine("sqlite://", poolclass=StaticPool)
    second = create_engine("sqlite://", pool=first.pool)
    for engine in (first, second):
        _ask(engine)
    assert len(_connects(telemetry)) == 1


def test_nothing_after_uninstrument(telemetry: testing.Captured) -> None:
    """Also of a pool whose `_invoke_creator` somebody has replaced since."""
    engine, wrapped = (create_engine("sqlite://", poolclass=NullPool) for _ in range(2))
    _ask(engine)
    ours = wrapped.pool._invoke_creator
    wrapped.pool._invoke_creator = lambda record: ours(record)
    otel_session.uninstrument()
    telemetry.clear()
    _ask(engine)
    _ask(wrapped)
    assert telemetry.spans() == []


def test_a_failure_of_ours_never_reaches_the_application(
    telemetry: testing.Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails in telling of a connection: it is made, or fails with its own error."""

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("injected")

    def refuse() -> Any:
        raise ConnectionRefusedError

    monkeypatch.setattr(connects, "target_of", broken)
    with Session(create_engine("sqlite://")) as orm:
        assert orm.scalar(text("select 1")) == 1
    with pytest.raises(ConnectionRefusedError):
        create_engine("sqlite://", creator=refuse).connect()
    assert _connects(telemetry) == []
