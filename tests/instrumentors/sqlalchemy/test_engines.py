"""Which engines are recorded, whenever and however they are made; and what is left after `uninstrument()`."""

import gc
import os
import threading
from typing import Any
from unittest import mock

import pytest
import sqlalchemy
from sqlalchemy import create_engine as early_create_engine
from sqlalchemy import engine_from_config, event, text
from sqlalchemy.engine import Connection, Engine, create_engine
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.asyncio import create_async_engine as early_create_async_engine
from sqlalchemy.pool import StaticPool

import otel_session
from otel_session import testing
from otel_session.instrumentors.sqlalchemy import SQLAlchemyInstrumentor, dialects
from tests.instrumentors.sqlalchemy.databases import Database
from tests.spans import but_connects


def _ask(engine: Engine, question: str = "select 1") -> None:
    with engine.connect() as connection:
        connection.execute(text(question)).all()


def _hooks() -> list[Any]:
    """Where all connections are heard of, and how many listeners a new engine's pool and dialect have."""
    engine = create_engine("sqlite://")
    listeners = [len(list(engine.pool.dispatch.checkout)), len(list(engine.dialect.dispatch.handle_error))]
    return [vars(Connection)["_handle_dbapi_exception"], *listeners]


def _texts(telemetry: testing.Captured) -> list[Any]:
    return [(s.attributes or {})["db.query.text"] for s in but_connects(telemetry)]


MAKERS = {
    "create_engine": lambda: sqlalchemy.create_engine("sqlite://"),
    "imported before": lambda: early_create_engine("sqlite://"),
    "from sqlalchemy.engine": lambda: create_engine("sqlite://"),
    "engine_from_config": lambda: engine_from_config({"sqlalchemy.url": "sqlite://"}),
    "creator": lambda: create_engine("sqlite://", creator=lambda: __import__("sqlite3").connect(":memory:")),
    "options": lambda: create_engine("sqlite://", echo=False, logging_name="x", execution_options={"a": 1}),
    "clone": lambda: create_engine("sqlite://").execution_options(schema_translate_map=None),
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("before", [True, False], ids=["made before", "made after"])
def test_every_engine_is_seen_once(maker: str, before: bool) -> None:
    """Made before or after `instrument()`, by whatever function: one span a statement."""
    with testing.captured() as telemetry:
        engine = MAKERS[maker]() if before else None
        otel_session.instrument(**telemetry.providers)
        try:
            engine = engine or MAKERS[maker]()
            _ask(engine)
            assert _texts(telemetry) == ["select ?"]
            assert len(telemetry.spans()) == 2  # and its connection's
        finally:
            otel_session.uninstrument()
            engine.dispose()


@pytest.mark.parametrize("before", [True, False], ids=["made before", "made after"])
def test_async_engines_have_one_span_a_statement(before: bool) -> None:
    """Not one for the async engine and one for the sync engine in it."""
    with testing.captured() as telemetry:
        database = Database("sqlite+aiosqlite", "sqlite+aiosqlite://") if before else None
        otel_session.instrument(**telemetry.providers)
        try:
            database = database or Database("sqlite+aiosqlite", "sqlite+aiosqlite://")
            database.run(lambda c: c.execute(text("select 1")).all())
            assert _texts(telemetry) == ["select ?"]
            assert len(telemetry.spans()) == 2  # and its connection's
        finally:
            otel_session.uninstrument()
            database.dispose()


def test_a_connection_that_is_out_already_is_seen_once_its_engine_is(telemetry: testing.Captured) -> None:
    """`instrument(engine=…)` reaches connections checked out before."""
    otel_session.uninstrument()
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        SQLAlchemyInstrumentor().instrument(engine=engine, **telemetry.providers)
        connection.execute(text("select 2"))
    assert len(but_connects(telemetry)) == 1


def test_one_named_engine_leaves_the_others_alone() -> None:
    """With `engine=`, nothing of another engine is recorded: spans, metric, errors while fetching."""
    ours, other = create_engine("sqlite://"), create_engine("sqlite://")
    with testing.captured() as telemetry:
        SQLAlchemyInstrumentor().instrument(engine=ours, **telemetry.providers)
        try:
            _ask(ours)
            _ask(other)
            with pytest.raises(sqlalchemy.exc.OperationalError):
                _ask(other, FAILS_WHILE_FETCHING)
            _ask(create_engine("sqlite://"))
            assert len(but_connects(telemetry)) == 1
            assert telemetry.points("db.client.operation.duration")[0].count == 1
            assert telemetry.logs() == []
            SQLAlchemyInstrumentor().instrument(engine=other)  # a second call adds
            _ask(other)
            assert len(but_connects(telemetry)) == 2
        finally:
            SQLAlchemyInstrumentor().uninstrument()


FAILS_WHILE_FETCHING = (
    "select abs(case when value = 2 then -9223372036854775808 else value end) from json_each('[1,2]')"
)


def test_an_async_engine_may_be_named(telemetry: testing.Captured) -> None:
    """`engine=` takes an AsyncEngine."""
    otel_session.uninstrument()
    database = Database("sqlite+aiosqlite", "sqlite+aiosqlite://")
    SQLAlchemyInstrumentor().instrument(engine=database.engine, **telemetry.providers)
    database.run(lambda c: c.execute(text("select 1")).all())
    database.dispose()
    assert len(but_connects(telemetry)) == 1


def test_what_is_no_engine_is_refused_at_once() -> None:
    """A mistake in set-up raises, says what it saw, and changes nothing."""
    before = _hooks()
    with pytest.raises(TypeError, match="engine is 'sqlite://'; expected a SQLAlchemy Engine"):
        SQLAlchemyInstrumentor().instrument(engine="sqlite://")
    assert not SQLAlchemyInstrumentor().is_instrumented_by_opentelemetry
    assert _hooks() == before


def test_nothing_is_left_after_uninstrument() -> None:
    """Dialects, `Dialect.engine_created` and all listeners are as before."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    _ask(engine)
    before = dict(engine.dialect.__dict__)
    created = Dialect.__dict__["engine_created"]
    hooks = _hooks()
    with testing.captured() as telemetry:
        otel_session.instrument(**telemetry.providers)
        _ask(engine)
        assert dict(engine.dialect.__dict__) != before
        assert _hooks() != hooks
        assert not engine.dialect._has_events  # SQLAlchemy would look for listeners at each statement
        otel_session.uninstrument()
        assert dict(engine.dialect.__dict__) == before
        assert Dialect.__dict__["engine_created"] is created
        assert _hooks() == hooks
        _ask(engine)
        assert len(but_connects(telemetry)) == 1


def test_switching_on_twice_is_once(telemetry: testing.Captured) -> None:
    """A second `instrument()` doubles nothing; off and on again works on the same engine."""
    engine = create_engine("sqlite://")
    otel_session.instrument(**telemetry.providers)
    _ask(engine)
    otel_session.uninstrument()
    otel_session.instrument(**telemetry.providers)
    _ask(engine)
    assert len(but_connects(telemetry)) == 2


def test_toggling_under_load_breaks_nothing() -> None:
    """Four threads execute while the instrumentor goes on and off 100 times: no error, and it works in the end."""
    anywhere = {"check_same_thread": False}
    engines = [create_engine("sqlite://", poolclass=StaticPool, connect_args=anywhere) for _ in range(4)]
    errors: list[BaseException] = []
    over = threading.Event()

    def load(engine: Engine) -> None:
        try:
            while not over.is_set():
                _ask(engine)
                _ask(create_engine("sqlite://"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=load, args=(engine,)) for engine in engines]
    with testing.captured() as telemetry:
        for thread in threads:
            thread.start()
        try:
            for _ in range(100):
                SQLAlchemyInstrumentor().instrument(**telemetry.providers)
                SQLAlchemyInstrumentor().uninstrument()
                telemetry.clear()  # a slow machine would look through ever more of it
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert errors == []
        assert not [e for e in engines if any(name.startswith(("do_", "_otel")) for name in e.dialect.__dict__)]
        telemetry.clear()
        SQLAlchemyInstrumentor().instrument(**telemetry.providers)
        for engine in engines:
            _ask(engine)
        SQLAlchemyInstrumentor().uninstrument()
        assert len(but_connects(telemetry)) == 4


def test_a_recorder_switched_off_wraps_nothing(telemetry: testing.Captured) -> None:
    """A checkout that lost the race against `uninstrument()` leaves no dead wrapper that would hide the engine."""
    recorder = SQLAlchemyInstrumentor()._recorder
    assert recorder is not None
    otel_session.uninstrument()
    engine = create_engine("sqlite://")
    dialects.wrap(engine.dialect, recorder)
    assert "do_execute" not in engine.dialect.__dict__


def test_anothers_wrapper_around_ours_stays(telemetry: testing.Captured) -> None:
    """What somebody put over our wrapper is theirs: after `uninstrument()` it is there, and ours in it does nothing."""
    engine = create_engine("sqlite://")
    _ask(engine)
    ours = engine.dialect.do_execute
    seen = []

    def theirs(cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        seen.append(statement)
        ours(cursor, statement, parameters, context)

    engine.dialect.do_execute = theirs  # type: ignore[method-assign]
    otel_session.uninstrument()
    telemetry.clear()
    _ask(engine)
    assert (seen, but_connects(telemetry)) == (["select 1"], [])
    otel_session.instrument(**telemetry.providers)
    _ask(engine)
    assert (len(seen), len(but_connects(telemetry))) == (2, 1)
    otel_session.uninstrument()
    assert engine.dialect.do_execute is theirs


def test_a_patch_begun_before_ours_that_ends_does_not_blind_us() -> None:
    """`mock.patch.object(dialect, "do_execute")` deletes the attribute at its end; the next checkout mends that."""
    engine = create_engine("sqlite://")
    with testing.captured() as telemetry:
        with mock.patch.object(engine.dialect, "do_execute", wraps=engine.dialect.do_execute) as patched:
            otel_session.instrument(**telemetry.providers)
            _ask(engine)
            assert patched.call_count == 1
        _ask(engine)
        otel_session.uninstrument()
        assert len(but_connects(telemetry)) == 2


def test_a_thousand_engines_leave_nothing(telemetry: testing.Captured) -> None:
    """Engines that are dropped are collected, wrappers and cached statements with them."""
    for _ in range(1000):
        engine = create_engine("sqlite://")
        _ask(engine)
        engine.dispose()
    del engine
    gc.collect()
    assert len(dialects._wrapped) < 20


def test_the_cache_of_statements_is_bounded(telemetry: testing.Captured) -> None:
    """3,000 different statements, long ones among them: at most 1,000 are remembered, none of the long texts."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        for n in range(3000):
            connection.exec_driver_sql(f"select {n}" + (" " * 9000 if n % 100 == 0 else ""))
    target = engine.dialect.__dict__["_otel_session_wrapped"].target
    kept = [*target.young, *target._old]
    assert len(kept) <= 1000
    assert all(len(key) <= 8192 for key in kept)
    assert len(but_connects(telemetry)) == 3000


def test_users_listeners_still_work(telemetry: testing.Captured) -> None:
    """A `do_execute` listener that does the work itself, and one that rewrites the statement."""
    engine = create_engine("sqlite://")
    event.listen(engine, "before_cursor_execute", lambda *a: (a[2] + " limit 1", a[3]), retval=True)
    _ask(engine, "select 7")
    assert _texts(telemetry) == ["select ? limit ?"]


def test_a_forked_child_records(telemetry: testing.Captured) -> None:
    """Engines of the parent and new ones are recorded in the child, once each."""
    engine = create_engine("sqlite://")
    _ask(engine)
    telemetry.clear()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            engine.dispose()
            _ask(engine)
            _ask(create_engine("sqlite://"))
            os._exit(len(but_connects(telemetry)))
        except BaseException:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


def test_early_names_are_sqlalchemys_own() -> None:
    """Nothing is replaced in SQLAlchemy's modules."""
    with testing.captured() as telemetry:
        otel_session.instrument(**telemetry.providers)
        assert sqlalchemy.create_engine is early_create_engine
        assert __import__("sqlalchemy.ext.asyncio", fromlist=["x"]).create_async_engine is early_create_async_engine
        otel_session.uninstrument()
