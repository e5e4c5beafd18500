"""Everything an application does with SQLAlchemy is one span for each statement sent."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    create_engine,
    event,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, declarative_base, joinedload, relationship, selectinload
from sqlalchemy.pool import StaticPool

from otel_session import testing
from tests.instrumentors.sqlalchemy.databases import SYNC

Base: Any = declarative_base()


class Owner(Base):
    __tablename__ = "kinds_owner"
    id = Column(Integer, primary_key=True)
    name = Column(String(40))
    deals = relationship("Deal", back_populates="owner")


class Deal(Base):
    __tablename__ = "kinds_deal"
    id = Column(Integer, primary_key=True)
    name = Column(String(40))
    owner_id = Column(ForeignKey("kinds_owner.id"))
    owner = relationship("Owner", back_populates="deals")


@pytest.fixture
def traced(telemetry: testing.Captured) -> Iterator[tuple[Engine, list[str]]]:
    """A SQLite engine with tables, and the statements its trace callback reports (BEGIN and COMMIT left out)."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    seen: list[str] = []
    event.listen(engine, "connect", lambda c, _: c.set_trace_callback(seen.append))
    Base.metadata.create_all(engine)
    telemetry.clear()
    seen.clear()
    yield engine, seen
    engine.dispose()


def _sent(seen: list[str]) -> list[str]:
    return [s for s in seen if not s.startswith(("BEGIN", "COMMIT", "ROLLBACK;")) and s != "ROLLBACK"]


def _names(telemetry: testing.Captured) -> list[str]:
    return [span.name for span in telemetry.spans()]


def test_orm_work_is_one_span_a_statement(traced: Any, telemetry: testing.Captured) -> None:
    """Flush, joined, selectin and lazy loads, savepoints, bulk deletes: as many spans as SQLite saw statements."""
    engine, seen = traced
    with Session(engine) as orm:
        orm.add_all([Owner(name=f"o{n}", deals=[Deal(name="d")]) for n in range(3)])
        orm.commit()
        owners = orm.execute(select(Owner)).scalars().all()
        assert [len(o.deals) for o in owners] == [1, 1, 1]
        orm.expire_all()
        orm.execute(select(Owner).options(joinedload(Owner.deals))).unique().all()
        orm.execute(select(Owner).options(selectinload(Owner.deals))).all()
        with orm.begin_nested():
            owners[0].name = "x"
        orm.execute(Deal.__table__.delete().where(Deal.name == "d"))
        orm.commit()

    names = [name for name in _names(telemetry) if name not in ("sqlalchemy.unit_of_work", "COMMIT", "ROLLBACK")]
    assert len(names) == len(_sent(seen))
    for expected in (
        "SELECT kinds_owner kinds_deal",
        "SAVEPOINT",
        "RELEASE",
        "UPDATE kinds_owner",
        "DELETE kinds_deal",
    ):
        assert expected in names
    assert names.count("SELECT kinds_deal") == 4  # three lazy loads and one selectin


def test_insertmanyvalues_is_one_span_a_batch(traced: Any, telemetry: testing.Captured) -> None:
    """250 rows with RETURNING in batches of 100: three statements, three spans."""
    engine, seen = traced
    with engine.connect().execution_options(insertmanyvalues_page_size=100) as connection:
        rows = [{"name": str(n)} for n in range(250)]
        connection.execute(insert(Owner).returning(Owner.id), rows).all()

    assert _names(telemetry) == ["INSERT kinds_owner"] * 3 == ["INSERT kinds_owner"] * len(_sent(seen))


def test_executemany_is_one_span(traced: Any, telemetry: testing.Captured) -> None:
    """250 sets are one span of 250; SQLite saw 250 statements."""
    engine, seen = traced
    with engine.begin() as connection:
        connection.execute(insert(Owner), [{"id": n, "name": "n"} for n in range(250)])

    (span,) = telemetry.spans()
    assert (span.attributes or {})["db.operation.batch.size"] == len(_sent(seen)) == 250


def test_driver_sql_without_parameters(traced: Any, telemetry: testing.Captured) -> None:
    """`exec_driver_sql`, and `no_parameters`, which takes another way through the dialect."""
    engine, _ = traced
    with engine.connect() as connection:
        connection.exec_driver_sql("select 1").all()
        connection.execution_options(no_parameters=True).exec_driver_sql("select 2").all()

    assert len(telemetry.spans()) == 2


@pytest.mark.parametrize("driver", SYNC)
def test_reflection_works_and_is_seen(driver: str, telemetry: testing.Captured, connect: Any) -> None:
    """Tables reflect as without us; every catalogue query is a span with a readable summary."""
    database = connect(driver)
    Base.metadata.drop_all(database.engine)
    Base.metadata.create_all(database.engine)
    telemetry.clear()
    found = inspect(database.engine).get_foreign_keys("kinds_deal")
    Table("kinds_deal", MetaData(), autoload_with=database.engine)

    assert found[0]["referred_table"] == "kinds_owner"
    assert len(telemetry.spans()) >= 3
    assert all(span.name.split()[0].isupper() for span in telemetry.spans())
    Base.metadata.drop_all(database.engine)


def test_server_side_cursors_work(telemetry: testing.Captured, connect: Any) -> None:
    """`stream_results`: one span for the statement, whatever is fetched later."""
    database = connect("postgresql+psycopg2")
    ask = select(text("n FROM generate_series(1, 5000) AS n"))
    with database.engine.connect().execution_options(stream_results=True, max_row_buffer=100) as connection:
        telemetry.clear()
        assert sum(1 for _ in connection.execute(ask)) == 5000
    assert len(telemetry.spans()) == 1


def test_ids_are_on_statements_inside_a_session_only(traced: Any, telemetry: testing.Captured) -> None:
    """In `bound_session` each span has session and correlation id; outside it has neither."""
    import otel_session

    engine, _ = traced
    with engine.connect() as connection, otel_session.bound_session("run-1", correlation_id="req_1"):
        connection.execute(select(Owner.id).where(Owner.id == bindparam("x")), {"x": 1})
    with engine.connect() as connection:
        connection.execute(select(Owner.id))

    inside, outside = (dict(span.attributes or {}) for span in telemetry.spans())
    assert (inside["session.id"], inside["correlation.id"]) == ("run-1", "req_1")
    assert not {"session.id", "correlation.id"} & outside.keys()
    assert not any("session.id" in p.attributes for p in telemetry.points("db.client.operation.duration"))


def test_queries_are_children_of_what_runs(traced: Any, telemetry: testing.Captured) -> None:
    """A query's parent is the current span; the query is never current itself."""
    engine, _ = traced
    tracer = telemetry.providers["tracer_provider"].get_tracer("app")
    with tracer.start_as_current_span("work"), engine.connect() as connection:
        connection.execute(text("select 1"))
        connection.execute(text("select 2"))

    (root,) = testing.tree(telemetry.spans())
    assert (root["name"], [c["name"] for c in root["children"]]) == ("work", ["SELECT", "SELECT"])
