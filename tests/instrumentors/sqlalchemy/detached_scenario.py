"""Each way to read a detached instance, in each mode, on one version of SQLAlchemy; prints what the application gets.

Run by `test_detached.py` in an environment of its own: `python detached_scenario.py observe|load_only|off`. Imports
nothing of the tests. A case says what it got: a value, or the type of an exception.
"""

import asyncio
import gc
import json
import pickle
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from typing import Any

warnings.simplefilter("error")
warnings.filterwarnings("ignore", message=".*SQLALCHEMY_WARN_20.*|.*Deprecated API features.*")  # 1.4's notice
warnings.filterwarnings("ignore", message=".*is not attached to a session.*|.*Object of type.*not in session.*")
warnings.filterwarnings("ignore", message=".*Instance .* is detached, dynamic relationship.*")
warnings.filterwarnings("ignore", category=ResourceWarning)

import sqlalchemy  # noqa: E402
from sqlalchemy import Column, ForeignKey, Integer, String, create_engine, select  # noqa: E402
from sqlalchemy.orm import Session, declarative_base, deferred, relationship, sessionmaker  # noqa: E402
from sqlalchemy.pool import QueuePool  # noqa: E402

import otel_session  # noqa: E402
from otel_session import ReattachError, testing  # noqa: E402

Base: Any = declarative_base()
CASES: dict[str, Callable[[Any], Any]] = {}


class Owner(Base):
    """An owner of deals; some are firms."""

    __tablename__ = "owner"
    id = Column(Integer, primary_key=True)
    name = Column(String(40))
    note = deferred(Column(String(40)))
    kind = Column(String(10))
    deals = relationship("Deal", back_populates="owner", order_by="Deal.id")
    visits = relationship("Visit", lazy="dynamic")
    __mapper_args__ = {"polymorphic_on": kind, "polymorphic_identity": "person"}  # noqa: RUF012 - SQLAlchemy's way


class Firm(Owner):
    """An owner with a number of its own."""

    __tablename__ = "firm"
    id = Column(ForeignKey("owner.id"), primary_key=True)
    number = Column(Integer)
    __mapper_args__ = {"polymorphic_identity": "firm"}  # noqa: RUF012


class Deal(Base):
    """A deal of an owner."""

    __tablename__ = "deal"
    id = Column(Integer, primary_key=True)
    title = Column(String(40))
    owner_id = Column(ForeignKey("owner.id"))
    owner = relationship("Owner", back_populates="deals")


class Visit(Base):
    """A visit of an owner."""

    __tablename__ = "visit"
    id = Column(Integer, primary_key=True)
    owner_id = Column(ForeignKey("owner.id"))


def case(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A case to run."""
    CASES[function.__name__] = function
    return function


def _orm(engine: Any, **kwargs: Any) -> Any:
    return Session(engine, future=True, **kwargs)


def _detached(engine: Any, model: Any = Owner, number: int = 1, **kwargs: Any) -> Any:
    with _orm(engine, **kwargs) as orm:
        return orm.get(model, number)


@case
def expired_column(engine: Any) -> Any:
    """A column that the commit expired."""
    with _orm(engine) as orm:
        owner = orm.get(Owner, 1)
        orm.commit()
    return owner.name


@case
def one_to_many(engine: Any) -> Any:
    """A collection that was not loaded; its members know their parent."""
    owner = _detached(engine)
    return [deal.title for deal in owner.deals] + [deal.owner is owner for deal in owner.deals]


@case
def many_to_one(engine: Any) -> Any:
    """A parent that was not loaded."""
    return _detached(engine, Deal).owner.name


@case
def deferred_column(engine: Any) -> Any:
    """A deferred column."""
    return _detached(engine).note


@case
def polymorphic(engine: Any) -> Any:
    """A subclass's column of an object that was loaded as its base class."""
    with _orm(engine) as orm:
        firm = orm.execute(select(Owner).where(Owner.id == 2)).scalar_one()
    return firm.number


@case
def deleted_row(engine: Any) -> Any:
    """The row is gone by the time the attribute is read."""
    owner = _detached(engine, number=3)
    with _orm(engine) as orm:
        orm.execute(Owner.__table__.delete().where(Owner.__table__.c.id == 3))
        orm.commit()
    return owner.note


@case
def pending_change(engine: Any) -> Any:
    """The object has a change that was never written: it stays, and stays unwritten."""
    owner = _detached(engine)
    owner.name = "changed"
    try:
        told: Any = owner.note
    except Exception as error:
        told = type(error).__name__
    with _orm(engine) as orm:
        stored = orm.execute(select(Owner.name).where(Owner.id == 1)).scalar_one()
    return [told, owner.name, stored, sqlalchemy.inspect(owner).modified]


@case
def transient_child(engine: Any) -> Any:
    """A new object refers to the detached one: it is in the collection and not in the database."""
    owner = _detached(engine)
    child = Deal(title="new")
    child.owner = owner
    try:
        told: Any = sorted(deal.title for deal in owner.deals)
    except Exception as error:
        told = type(error).__name__
    with _orm(engine) as orm:
        stored = len(orm.execute(select(Deal.id).where(Deal.owner_id == 1)).all())
    return [told, stored, sqlalchemy.inspect(child).transient]


@case
def changed_foreign_key(engine: Any) -> Any:
    """The new key counts, as it does for attached objects."""
    deal = _detached(engine, Deal)
    deal.owner_id = 2
    return deal.owner.name


@case
def pickled(engine: Any) -> Any:
    """An object that has been through a cache."""
    owner = pickle.loads(pickle.dumps(_detached(engine)))
    return [deal.title for deal in owner.deals]


@case
def collected(engine: Any) -> Any:
    """Its ORM session was never closed, only forgotten."""
    orm = _orm(engine)
    owner = orm.get(Owner, 1)
    del orm
    gc.collect()
    return owner.note


@case
def eight_threads(engine: Any) -> Any:
    """Eight threads read one collection: all get the same."""
    owner = _detached(engine)
    barrier, seen = threading.Barrier(8), []

    def read() -> None:
        barrier.wait()
        try:
            seen.append(id(owner.deals))
        except Exception as error:
            seen.append(type(error).__name__)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [len(seen), len(set(seen)), seen[0] if isinstance(seen[0], str) else "one collection"]


@case
def dynamic_rows(engine: Any) -> Any:
    """SQLAlchemy answers as if there were none: silent wrong data, reported."""
    return len(list(_detached(engine).visits))


@case
def dynamic_query(engine: Any) -> Any:
    """A dynamic relationship asked to filter."""
    return _detached(engine).visits.filter(Visit.id > 0).count()


@case
def attached(engine: Any) -> Any:
    """Lazy loading while the ORM session is open is nobody's business."""
    with _orm(engine) as orm:
        return len(orm.get(Owner, 1).deals)


@case
def asynchronous(_engine: Any) -> Any:
    """Read in async code without an await: explained, not broken."""
    try:
        from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
    except ImportError:
        return "no greenlet"

    async def run() -> Any:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tempfile.mkdtemp()}/a.db", future=True)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as orm:
            orm.add(Owner(id=1, name="o", kind="person"))
            await orm.commit()
        async with AsyncSession(engine) as orm:
            owner = await orm.get(Owner, 1)
            try:
                return owner.deals
            except Exception as error:
                return type(getattr(error, "orig", None) or error).__name__
            finally:
                await orm.close()
                await engine.dispose()

    return asyncio.run(run())


@case
def reattach_clean(engine: Any) -> Any:
    """`reattach()` of what is safe."""
    owner = _detached(engine)
    with _orm(engine) as orm:
        assert otel_session.reattach(owner, orm) is owner
        return len(owner.deals)


def _refused(instance: Any, orm: Any) -> str:
    try:
        otel_session.reattach(instance, orm)
    except ReattachError as error:
        return error.reason
    return "attached"


@case
def reattach_refused(engine: Any) -> Any:
    """`reattach()` of what is not safe, and why."""
    changed, conflicting, elsewhere = _detached(engine), _detached(engine, number=2), _detached(engine, Deal)
    changed.name = "changed"
    with _orm(engine) as orm, _orm(engine) as other:
        orm.get(Owner, 2).name = "uncommitted"
        other.add(elsewhere)
        return [_refused(one, orm) for one in (changed, conflicting, elsewhere, Owner(name="new"))]


def _fill(engine: Any) -> None:
    Base.metadata.create_all(engine)
    with _orm(engine) as orm:
        orm.add_all([Owner(id=1, name="ann", note="n1"), Firm(id=2, name="firm", note="n2", number=7)])
        orm.add_all([Owner(id=3, name="gone", note="n3"), Visit(id=1, owner_id=1)])
        orm.add_all([Deal(id=1, title="a", owner_id=1), Deal(id=2, title="b", owner_id=1)])
        orm.commit()


def _run(name: str, mode: str) -> dict[str, Any]:
    engine = create_engine(
        f"sqlite:///{tempfile.mkdtemp()}/deals.db",
        poolclass=QueuePool,
        connect_args={"check_same_thread": False, "timeout": 5},
        future=True,
    )
    _fill(engine)
    settings = {"detached": "off"} if mode == "off" else {}
    with testing.captured() as telemetry:
        otel_session.instrument(**telemetry.providers, **settings)
        if mode == "load_only":
            otel_session.recover_detached(sessionmaker(engine, future=True))
        with otel_session.bound_session("run-1"):
            try:
                got = CASES[name](engine)
            except Exception as error:
                got = type(error).__name__
        reads = [record.log_record for record in telemetry.logs()]
        events = [r for r in reads if r.event_name == "sqlalchemy.detached_instance.read"]
        prefix = "sqlalchemy.detached_instance."
        spans = [s for s in telemetry.spans() if s.name == prefix + "recover"]
        otel_session.uninstrument()
    return {
        "got": got,
        "events": [[e.attributes[prefix + k] for k in ("model", "attribute", "kind", "outcome")] for e in events],
        "ids": all(e.attributes["session.id"] == "run-1" for e in events),
        "bodies": [str(e.body) for e in events],
        "ends": [e.attributes.get(prefix + "orm_session.end") for e in events],
        "spans": [[s.status.status_code.name, s.attributes[prefix + "outcome"]] for s in spans],
    }


if __name__ == "__main__":
    wanted = sys.argv[2:] or list(CASES)
    print(json.dumps({"version": sqlalchemy.__version__, "cases": {n: _run(n, sys.argv[1]) for n in wanted}}))
