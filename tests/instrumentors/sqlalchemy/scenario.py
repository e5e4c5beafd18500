"""What an application does, for one version of SQLAlchemy and one set-up; prints what was captured as JSON.

Run by `test_versions.py` in an environment of its own: `python scenario.py NAME`. Imports nothing of the tests.
"""

import asyncio
import json
import sys
import warnings
from typing import Any

warnings.simplefilter("error")
warnings.filterwarnings("ignore", message=".*SQLALCHEMY_WARN_20.*|.*Deprecated API features.*")  # 1.4's notice

import sqlalchemy  # noqa: E402
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF  # noqa: E402
from sqlalchemy import Column, ForeignKey, Integer, String, create_engine, event, inspect, text  # noqa: E402
from sqlalchemy.exc import DBAPIError  # noqa: E402
from sqlalchemy.orm import Session, declarative_base, relationship  # noqa: E402
from sqlalchemy.pool import StaticPool  # noqa: E402

import otel_session  # noqa: E402
from otel_session import testing  # noqa: E402
from otel_session.instrumentors.sqlalchemy import SQLAlchemyInstrumentor  # noqa: E402

Base: Any = declarative_base()
FAILS_WHILE_FETCHING = (
    "select abs(case when value = 2 then -9223372036854775808 else value end) from json_each('[1,2]')"
)


class Owner(Base):
    """An owner of deals."""

    __tablename__ = "owner"
    id = Column(Integer, primary_key=True)
    name = Column(String(40))
    deals = relationship("Deal", back_populates="owner")


class Deal(Base):
    """A deal."""

    __tablename__ = "deal"
    id = Column(Integer, primary_key=True)
    owner_id = Column(ForeignKey("owner.id"))
    owner = relationship("Owner", back_populates="deals")


def _engine(seen: list[str]) -> Any:
    engine = create_engine("sqlite://", poolclass=StaticPool, future=True)
    event.listen(engine, "connect", lambda connection, _: connection.set_trace_callback(seen.append))
    return engine


def _work(engine: Any) -> None:
    """ORM flush, lazy load, savepoint, executemany, reflection, a failing statement, one that fails in fetching."""
    Base.metadata.create_all(engine)
    with Session(engine, future=True) as orm:
        orm.add(Owner(name="o", deals=[Deal()]))
        orm.commit()
        assert len(orm.get(Owner, 1).deals) == 1
        with orm.begin_nested():
            orm.get(Owner, 1).name = "p"
        orm.commit()
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO owner (name) VALUES (:n)"), [{"n": "a"}, {"n": "b"}])
        connection.exec_driver_sql("select 1").all()
        connection.execution_options(no_parameters=True).exec_driver_sql("select 2").all()
        inspect(connection).get_columns("deal")
    for failing in ("select * from nowhere", FAILS_WHILE_FETCHING):
        try:
            with engine.connect() as connection:
                connection.execute(text(failing)).all()
        except DBAPIError:
            pass


def _told(telemetry: testing.Captured, seen: list[str]) -> dict[str, Any]:
    skipped = ("BEGIN", "COMMIT", "ROLLBACK;")
    spans = telemetry.spans()
    return {
        "version": sqlalchemy.__version__,
        "spans": [
            {
                "name": span.name,
                "scope": span.instrumentation_scope.name if span.instrumentation_scope else "",
                "attributes": dict(span.attributes or {}),
            }
            for span in spans
        ],
        "witnessed": len([s for s in seen if not s.startswith(skipped) and s != "ROLLBACK"]),
        "durations": sum(p.count for p in telemetry.points("db.client.operation.duration")),
        "events": [log.log_record.event_name for log in telemetry.logs() if log.log_record.event_name],
    }


def core(made: str) -> dict[str, Any]:
    """The work, with an engine made `before` or `after` instrument()."""
    seen: list[str] = []
    with testing.captured() as telemetry:
        engine = _engine(seen) if made == "before" else None
        otel_session.instrument(**telemetry.providers)
        engine = engine or _engine(seen)
        with otel_session.bound_session("run-1"):
            _work(engine)
        otel_session.uninstrument()
        left = [name for name in engine.dialect.__dict__ if name.startswith(("do_", "_otel"))]
        told = _told(telemetry, seen)
        _work(engine)
        return {**told, "left": left, "later": len(telemetry.spans()) - len(told["spans"])}


def unsampled() -> dict[str, Any]:
    """The work, with no trace sampled."""
    seen: list[str] = []
    with testing.captured(ALWAYS_OFF) as telemetry:
        otel_session.instrument(**telemetry.providers)
        _work(_engine(seen))
        otel_session.uninstrument()
        return _told(telemetry, seen)


def asynchronous() -> dict[str, Any]:
    """Statements on an async engine."""
    from sqlalchemy.ext.asyncio import create_async_engine

    with testing.captured() as telemetry:
        otel_session.instrument(**telemetry.providers)

        async def work() -> None:
            engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
            async with engine.begin() as connection:
                await connection.execute(text("create table t (a integer)"))
                await connection.execute(text("insert into t values (:a)"), [{"a": 1}, {"a": 2}])
                assert len((await connection.execute(text("select a from t"))).all()) == 2
            await engine.dispose()

        asyncio.run(work())
        otel_session.uninstrument()
        return _told(telemetry, [])


def official(order: str) -> dict[str, Any]:
    """The official one beside ours: it `first`, `last`, taken off (`gone`), of our engine (`named`) or an `other`."""
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor as Official

    seen: list[str] = []
    with testing.captured() as telemetry:
        theirs = {k: v for k, v in telemetry.providers.items() if k != "logger_provider"}
        if order == "last":
            otel_session.instrument(**telemetry.providers)
            Official().instrument(**theirs)
        else:
            Official().instrument(**theirs)
            otel_session.instrument(**telemetry.providers)
        if order in ("named", "other"):
            Official().uninstrument()
            engine = _engine(seen)
            Official().instrument(engine=engine if order == "named" else create_engine("sqlite://"), **theirs)
        else:
            engine = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool, future=True)
            event.listen(engine, "connect", lambda connection, _: connection.set_trace_callback(seen.append))
        if order == "gone":
            Official().uninstrument()
        with otel_session.bound_session("run-1"):
            _work(engine)
        otel_session.uninstrument()
        if order != "gone":
            Official().uninstrument()
        return _told(telemetry, seen)


def no_greenlet() -> dict[str, Any]:
    """Sync work where greenlet is not installed."""
    try:
        import greenlet  # noqa: F401
    except ImportError:
        found = core("after")
        assert not SQLAlchemyInstrumentor().is_instrumented_by_opentelemetry
        return found
    raise SystemExit("greenlet is installed")


if __name__ == "__main__":
    scenario, _, argument = sys.argv[1].partition(":")
    known = {"core": core, "unsampled": unsampled, "async": asynchronous, "official": official, "bare": no_greenlet}
    print(json.dumps(known[scenario](argument) if argument else known[scenario]()))
