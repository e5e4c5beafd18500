"""Pool metrics: right for every pool class, and after everything that can happen to a connection."""

import gc
import logging
import os
import pathlib
import sqlite3
import threading
import time
import weakref
from typing import Any

import pytest
import sqlalchemy
from opentelemetry.sdk.resources import Resource
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.pool import (
    AssertionPool,
    NullPool,
    Pool,
    QueuePool,
    SingletonThreadPool,
    StaticPool,
)

import otel_session
from otel_session import instruments, tallies, testing
from otel_session.exporters import tallied
from otel_session.instrumentors.sqlalchemy import SQLAlchemyInstrumentor
from tests.instrumentors.sqlalchemy.pools import Seen, counts, names, seen, states

NAME = "shop"


@pytest.fixture(autouse=True)
def no_other_pools() -> None:
    """Engines of earlier tests are gone: their names are free."""
    gc.collect()


@pytest.fixture
def url(tmp_path: pathlib.Path) -> str:
    """A database in a file."""
    return f"sqlite:///{tmp_path}/shop.db"


def made(url: str, kind: type[Pool] = QueuePool, name: str | None = NAME, **options: Any) -> Engine:
    options.setdefault("connect_args", {"check_same_thread": False})
    return create_engine(url, poolclass=kind, pool_logging_name=name, **options)


def queue(url: str, **options: Any) -> Engine:
    return made(url, pool_size=2, max_overflow=1, pool_timeout=0.05, **options)


LIMITS = {
    QueuePool: (15, 5, 0),
    NullPool: (None, 0, None),
    StaticPool: (1, 1, None),
    SingletonThreadPool: (5, 5, None),
    AssertionPool: (1, 1, None),
}


@pytest.mark.parametrize("kind", LIMITS)
def test_every_pool_class(kind: type[Pool], url: str, telemetry: testing.Captured) -> None:
    """Used, idle, limits and times, while a connection is out, when it is back, and after dispose()."""
    engine = made(url, kind)
    most, idle_most, overflow = LIMITS[kind]

    def expected(used: int, idle: int) -> Seen:
        return Seen(used, idle, most, idle_most, 0, 0, 0, overflow)

    kept = 0 if kind is NullPool else 1
    assert seen(telemetry, NAME) == expected(0, 0)
    with engine.connect() as connection:
        connection.execute(text("select 1"))
        assert seen(telemetry, NAME) == expected(1, 0)
    assert seen(telemetry, NAME) == expected(0, kept)
    engine.dispose()
    assert seen(telemetry, NAME) == expected(0, 0)
    with engine.connect():
        assert seen(telemetry, NAME) == expected(1, 0)
    assert counts(telemetry, NAME) == {"create": 2, "wait": 2, "use": 2}
    engine.dispose()


def test_overflow(url: str, telemetry: testing.Captured) -> None:
    """Connections beyond the pool's size are counted while they are there."""
    engine = queue(url)
    held = [engine.connect() for _ in range(3)]
    assert (states(telemetry, NAME), seen(telemetry, NAME).overflow) == ((3, 0), 1)
    held.pop().close()
    assert (states(telemetry, NAME), seen(telemetry, NAME).overflow) == ((2, 1), 1)
    for connection in held:
        connection.close()
    assert (states(telemetry, NAME), seen(telemetry, NAME).overflow) == ((0, 2), 0)
    engine.dispose()


def test_no_limit(url: str, telemetry: testing.Captured) -> None:
    """Where a pool has no limit, none is reported."""
    endless = made(url, name="endless", pool_size=1, max_overflow=-1)
    unbounded = made(url, name="unbounded", pool_size=0)
    assert (seen(telemetry, "endless").most, seen(telemetry, "endless").idle_most) == (None, 1)
    assert (seen(telemetry, "unbounded").most, seen(telemetry, "unbounded").idle_most) == (None, None)
    with unbounded.connect(), unbounded.connect(), endless.connect(), endless.connect():
        assert (states(telemetry, "unbounded"), seen(telemetry, "unbounded").overflow) == ((2, 0), 0)
        assert (states(telemetry, "endless"), seen(telemetry, "endless").overflow) == ((2, 0), 1)


def test_timeouts_and_who_waits(url: str, telemetry: testing.Captured) -> None:
    """A caller that waits is pending; one that got nothing is a timeout, with the application's own error."""
    engine = made(url, pool_size=1, max_overflow=0, pool_timeout=30)
    first = engine.connect()
    errors: list[BaseException] = []

    def ask(engine: Engine) -> None:
        try:
            engine.connect().close()
        except BaseException as error:
            errors.append(error)

    waiting = threading.Thread(target=ask, args=(engine,))
    waiting.start()
    deadline = time.monotonic() + 10
    while not seen(telemetry, NAME).pending and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (seen(telemetry, NAME).pending, states(telemetry, NAME)) == (1, (1, 0))
    first.close()
    waiting.join()
    assert (seen(telemetry, NAME).pending, errors) == (0, [])

    engine.pool._timeout = 0.01  # type: ignore[attr-defined]
    with engine.connect():
        ask(engine)
        ask(engine)
    assert [type(error) for error in errors] == [sqlalchemy.exc.TimeoutError] * 2
    assert (seen(telemetry, NAME).timeouts, seen(telemetry, NAME).pending) == (2, 0)
    assert counts(telemetry, NAME) == {"create": 1, "wait": 3, "use": 3}


def test_detach(url: str, telemetry: testing.Captured) -> None:
    """A detached connection is no longer the pool's: neither used nor idle, nor is its empty place in the pool."""
    engine = queue(url)
    with engine.connect() as connection:
        connection.detach()
        assert states(telemetry, NAME) == (0, 0)
        assert otel_session.held_connections() == []
    assert states(telemetry, NAME) == (0, 0)
    assert counts(telemetry, NAME) == {"create": 1, "wait": 1, "use": 1}
    with engine.connect():
        assert states(telemetry, NAME) == (1, 0)


def test_invalidate(url: str, telemetry: testing.Captured) -> None:
    """An invalidated connection is closed: its place in the pool is not taken for an idle connection."""
    engine = queue(url)
    with engine.connect() as connection:
        connection.invalidate()
        assert states(telemetry, NAME) == (0, 0)
        connection.execute(text("select 1"))  # SQLAlchemy 1.4 and 2 connect again
        assert states(telemetry, NAME) == (1, 0)
    assert states(telemetry, NAME) == (0, 1)
    assert counts(telemetry, NAME) == {"create": 2, "wait": 2, "use": 2}


def test_soft_invalidate(url: str, telemetry: testing.Captured) -> None:
    """A softly invalidated connection is there until it is asked for, and is then replaced."""
    engine = queue(url)
    raw = engine.raw_connection()
    raw.invalidate(soft=True)
    assert states(telemetry, NAME) == (1, 0)
    raw.close()
    assert states(telemetry, NAME) == (0, 1)
    with engine.connect():
        assert states(telemetry, NAME) == (1, 0)
    assert counts(telemetry, NAME) == {"create": 2, "wait": 2, "use": 2}


def test_dispose_while_a_connection_is_out(url: str, telemetry: testing.Captured) -> None:
    """It stays used, and idle once it is back in the old pool, until that pool is gone."""
    engine = queue(url)
    out, other = engine.connect(), engine.connect()
    other.close()
    assert states(telemetry, NAME) == (1, 1)
    engine.dispose()
    assert states(telemetry, NAME) == (1, 0)
    with engine.connect():
        assert states(telemetry, NAME) == (2, 0)
    assert states(telemetry, NAME) == (1, 1)
    out.close()
    del out, other
    gc.collect()
    assert states(telemetry, NAME) == (0, 1)
    assert seen(telemetry, NAME).most == 3
    assert names(telemetry) == [NAME]


def test_a_pool_disposed_of_by_itself(url: str, telemetry: testing.Captured) -> None:
    """`Pool.dispose()` upsets the pool's own counting; ours goes by who has a connection."""
    engine = queue(url)
    with engine.connect():
        engine.pool.dispose()
        assert states(telemetry, NAME) == (1, 0)
    assert states(telemetry, NAME) == (0, 1)
    with engine.connect():
        assert states(telemetry, NAME) == (1, 0)


def test_failing_to_connect(telemetry: testing.Captured) -> None:
    """Nothing is used, idle or pending after it, no time is counted, and the error is the application's own."""
    engine = made("sqlite:////nowhere/at/all.db")
    with pytest.raises(sqlalchemy.exc.OperationalError):
        engine.connect()
    assert states(telemetry, NAME) == (0, 0)
    assert seen(telemetry, NAME).pending == 0
    assert counts(telemetry, NAME) == {"create": 0, "wait": 0, "use": 0}


def test_a_connection_nobody_closes(url: str, telemetry: testing.Captured) -> None:
    """SQLAlchemy takes a connection back when its holder is gone; so do we, and its time is counted."""
    engine = queue(url)
    connection = engine.raw_connection()
    assert states(telemetry, NAME) == (1, 0)
    del connection
    gc.collect()
    assert states(telemetry, NAME) == (0, 1)
    engine.connect().close()
    assert counts(telemetry, NAME) == {"create": 1, "wait": 2, "use": 2}


def test_one_connection_for_many(url: str, telemetry: testing.Captured) -> None:
    """StaticPool hands one connection to several: used once, whoever gives it back first."""
    engine = made(url, StaticPool)
    for order in (0, 1):
        held = [engine.connect(), engine.connect()]
        assert states(telemetry, NAME) == (1, 0)
        assert len(otel_session.held_connections()) == 2
        held.pop(order).close()
        assert states(telemetry, NAME) == (1, 0)
        assert len(otel_session.held_connections()) == 1
        held.pop().close()
        assert states(telemetry, NAME) == (0, 1)
        assert otel_session.held_connections() == []
    with engine.connect():
        assert states(telemetry, NAME) == (1, 0)
    assert states(telemetry, NAME) == (0, 1)


def test_one_connection_for_each_thread(telemetry: testing.Captured) -> None:
    """SingletonThreadPool hands a thread what it has already: that is one checkout."""
    engine = made("sqlite://", SingletonThreadPool)
    with engine.connect(), engine.connect():
        assert states(telemetry, NAME) == (1, 0)
        assert len(otel_session.held_connections()) == 1
    assert states(telemetry, NAME) == (0, 1)
    assert counts(telemetry, NAME)["wait"] == counts(telemetry, NAME)["use"] == 1


@pytest.mark.parametrize("named", [True, False], ids=["named", "everything"])
def test_late(url: str, named: bool) -> None:
    """Switched on while connections are out: all are counted, and each as it comes back."""
    engine = queue(url)
    out, other = engine.connect(), engine.connect()
    other.close()
    with testing.captured() as telemetry:
        if named:
            SQLAlchemyInstrumentor().instrument(engine=engine, **telemetry.providers)
        else:
            otel_session.instrument(**telemetry.providers)
        try:
            assert states(telemetry, NAME) == (1, 1)
            (held,) = otel_session.held_connections()
            assert (held.late, held.session_id, held.route) == (True, None, None)
            with engine.connect():
                assert states(telemetry, NAME) == (2, 0)
            engine.dispose()
            assert states(telemetry, NAME) == (1, 0)
            out.close()
            assert otel_session.held_connections() == []
        finally:
            otel_session.uninstrument()


def test_late_after_a_freeze(url: str) -> None:
    """Where the garbage collector does not tell of engines, a pool is met at its next checkout."""
    engine = queue(url)
    gc.freeze()
    try:
        with testing.captured() as telemetry:
            otel_session.instrument(**telemetry.providers)
            try:
                with engine.connect():
                    assert states(telemetry, NAME) == (1, 0)
                engine.dispose()
                with engine.connect():
                    assert states(telemetry, NAME) == (1, 0)
                assert names(telemetry) == [NAME]
            finally:
                otel_session.uninstrument()
    finally:
        gc.unfreeze()


def test_names(tmp_path: pathlib.Path, telemetry: testing.Captured) -> None:
    """Unique, the same as long as the pool lives, free again when it is gone; no user, password or folder in it."""
    file = f"sqlite:///{tmp_path}/shop.db"
    secret = "postgresql+psycopg://admin:hunter2@db.example:6543/shop?sslpassword=hunter3"
    engines = [made(file, name=None), made(file, name=None), made("sqlite://", StaticPool, name=None), made(file)]
    engines += [create_engine(secret), create_engine(secret), create_engine("postgresql+psycopg://u:p@db.example/")]
    expected = [
        "db.example:5432",
        "db.example:6543/shop",
        "db.example:6543/shop#2",
        "shop",
        "sqlite/:memory:",
        "sqlite/shop.db",
        "sqlite/shop.db#2",
    ]
    assert names(telemetry) == expected
    engines[0].dispose()
    with engines[0].connect():
        assert states(telemetry, "sqlite/shop.db") == (1, 0)
    assert names(telemetry) == expected
    del engines[0]
    gc.collect()
    engines.append(made(file, name=None))
    assert names(telemetry) == expected


def test_two_engines_on_one_pool(url: str, telemetry: testing.Captured) -> None:
    """One pool is one set of numbers, also when one of the engines has disposed of it."""
    first = queue(url)
    second = create_engine(url, pool=first.pool)
    assert names(telemetry) == [NAME]
    with first.connect(), second.connect():
        assert states(telemetry, NAME) == (2, 0)
        assert seen(telemetry, NAME).most == 3
    second.dispose()
    with first.connect(), second.connect():
        assert states(telemetry, NAME) == (2, 0)
        assert seen(telemetry, NAME).most == 6  # two pools by now
    assert names(telemetry) == [NAME]


def test_several_engines(url: str, telemetry: testing.Captured) -> None:
    """Each has its own numbers; a clone by execution_options() shares its parent's."""
    first, second = queue(url, name="first"), queue(url, name="second")
    clone = first.execution_options(isolation_level="AUTOCOMMIT")
    with first.connect(), clone.connect(), second.connect():
        assert (states(telemetry, "first"), states(telemetry, "second")) == ((2, 0), (1, 0))
    assert names(telemetry) == ["first", "second"]


def test_a_pool_without_an_engine(url: str, telemetry: testing.Captured) -> None:
    """`QueuePool(creator)` used by itself."""
    pool = QueuePool(lambda: sqlite3.connect(":memory:", check_same_thread=False), pool_size=1, max_overflow=0)
    with pool.connect():
        assert states(telemetry, "QueuePool") == (1, 0)
    assert seen(telemetry, "QueuePool") == Seen(0, 1, 1, 1, 0, 0, 0, 0)
    pool.dispose()


def test_engines_that_are_gone_leave_nothing(url: str, telemetry: testing.Captured) -> None:
    """No series, watch or pool is kept of them, and there is no growth with their number."""
    pools = []
    for _ in range(20):
        engine = queue(url)
        with engine.connect():
            pass
        pools.append(weakref.ref(engine.pool))
        engine.dispose()
    del engine
    gc.collect()
    assert [pool for pool in pools if pool() is not None] == []
    assert names(telemetry) == []


class OwnPool(Pool):
    """A pool class of an application's own: one connection each time, by a `connect` that asks nobody."""

    def _do_get(self) -> Any:
        return self._create_connection()

    def _do_return_conn(self, record: Any) -> None:
        record.close()

    def connect(self) -> Any:
        return QueuePool.__mro__[1].connect(self)  # Pool's, as it was found here

    def recreate(self) -> Any:
        return type(self)(self._creator, logging_name=self._orig_logging_name, dialect=self._dialect)

    def dispose(self) -> None:
        pass

    def status(self) -> str:
        return "own"


class Apart(OwnPool):
    """One whose `connect` does not call SQLAlchemy's."""

    def connect(self) -> Any:
        from sqlalchemy.pool.base import _ConnectionFairy

        return _ConnectionFairy._checkout(self)


class Hostile(OwnPool):
    """One that fails whenever it is asked how it is."""

    def checkedin(self) -> int:
        raise RuntimeError("do not ask")

    checkedout = size = checkedin


@pytest.mark.parametrize("kind", [OwnPool, Apart])
def test_a_pool_class_never_seen(
    kind: type[Pool], url: str, telemetry: testing.Captured, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says what is not measured; what is out is counted all the same."""
    for _ in range(2):
        engine = made(url, kind)
        with engine.connect() as connection:
            assert connection.execute(text("select 1")).scalar() == 1
            assert states(telemetry, NAME) == (1, None)
            assert len(otel_session.held_connections()) == 1
        assert states(telemetry, NAME) == (0, None)
        engine.dispose()
        del engine, connection
        gc.collect()
    assert counts(telemetry, NAME) == {"create": 2, "wait": 2, "use": 2}
    lines = [r.getMessage() for r in caplog.records if "does not know the pool class" in r.getMessage()]
    assert len(lines) == 1
    assert f"{kind.__module__}.{kind.__qualname__}" in lines[0]


def test_a_hostile_pool_class(url: str, telemetry: testing.Captured, caplog: pytest.LogCaptureFixture) -> None:
    """A pool that raises when it is read harms neither the application nor the numbers of other pools."""
    engine, other = made(url, Hostile, name="hostile"), queue(url)
    with engine.connect() as connection, other.connect():
        assert connection.execute(text("select 1")).scalar() == 1
        assert states(telemetry, NAME) == (1, 0)
    assert caplog.text.count("otel-session failed in") <= 1


def test_what_has_no_pool_is_refused_at_once(url: str) -> None:
    """A mistake in set-up says what it saw, and changes nothing."""
    engine = queue(url)
    engine.pool = object()  # type: ignore[assignment]
    before = Pool.__dict__["connect"]
    with pytest.raises(TypeError, match=r"engine\.pool is <object .*expected a SQLAlchemy Pool"):
        SQLAlchemyInstrumentor().instrument(engine=engine)
    assert Pool.__dict__["connect"] is before
    assert not SQLAlchemyInstrumentor().is_instrumented_by_opentelemetry


def test_nothing_is_left_after_uninstrument(url: str) -> None:
    """Pools, records, dialects and classes are as before, also while a connection is out; off and on again works."""
    engine = queue(url)
    classes = {kind: kind.__dict__.get("connect") for kind in (Pool, SingletonThreadPool, OwnPool)}
    with engine.connect():
        pass
    before = dict(engine.pool.__dict__)
    dialect = set(engine.dialect.__dict__)
    with testing.captured() as telemetry:
        for _ in range(2):
            otel_session.instrument(**telemetry.providers)
            made(url, OwnPool, name="own")
            with engine.connect() as connection:
                record = connection.connection._connection_record  # type: ignore[attr-defined]
                assert states(telemetry, NAME) == (1, 0)
                otel_session.uninstrument()
                assert dict(engine.pool.__dict__) == before
                assert set(engine.dialect.__dict__) == dialect
                assert {kind: kind.__dict__.get("connect") for kind in classes} == classes
                assert [key for key in vars(record) if "otel" in key] == []
            assert otel_session.held_connections() == []
            assert names(telemetry) == []
        assert list(create_engine("sqlite://").pool.dispatch.checkin) == []


def test_one_named_engine_leaves_the_others_alone(url: str) -> None:
    """With `engine=`, other pools have no metrics."""
    ours, other = queue(url), queue(url, name="other")
    with testing.captured() as telemetry:
        SQLAlchemyInstrumentor().instrument(engine=ours, **telemetry.providers)
        try:
            with ours.connect(), other.connect(), queue(url, name="later").connect():
                assert names(telemetry) == [NAME]
                assert len(otel_session.held_connections()) == 1
            ours.dispose()
            with ours.connect():
                assert states(telemetry, NAME) == (1, 0)
            assert [key for key in vars(other.pool) if "otel" in key] == []
        finally:
            SQLAlchemyInstrumentor().uninstrument()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork(url: str, telemetry: testing.Captured) -> None:
    """A child counts what it has itself, from zero, also where a lock was taken; the parent goes on."""
    engine = queue(url)
    out = engine.connect()
    with pytest.raises(sqlalchemy.exc.TimeoutError), engine.connect(), engine.connect():
        engine.connect()
    assert seen(telemetry, NAME).timeouts == 1
    watcher = SQLAlchemyInstrumentor()._pools
    assert watcher is not None
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        with watcher._lock:
            taken.set()
            over.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(10)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            engine.dispose(close=False)
            found: list[Any] = [len(otel_session.held_connections())]
            with engine.connect():
                found.append([watch.counts().used for watch in watcher.watches()])
                found.append(len(otel_session.held_connections()))
            out.close()  # the parent's: not counted as ours
            found.append([watch.counted.timeouts for watch in watcher.watches()])
            os.write(writer, repr(found).encode())
        finally:
            os._exit(0)
    over.set()
    thread.join()
    os.waitpid(pid, 0)
    assert os.read(reader, 1_000).decode() == "[0, [1], 1, [0]]"
    assert states(telemetry, NAME) == (1, 2)
    out.close()
    assert (states(telemetry, NAME), seen(telemetry, NAME).timeouts) == ((0, 2), 1)


def _used_and_idle() -> list[tuple[int, int | None]]:
    watcher = SQLAlchemyInstrumentor()._pools
    assert watcher is not None
    return [(watch.counts().used, watch.counts().idle) for watch in watcher.watches()]


@pytest.mark.usefixtures("telemetry")
@pytest.mark.parametrize("kind", [QueuePool, StaticPool, SingletonThreadPool, AssertionPool])
def test_a_forked_child_tells_of_its_own_connections_only(kind: type[Pool], url: str) -> None:
    """Of a pool it did not dispose of: what it uses, and what it has connected itself; not what its parent has."""
    engine = made(url, kind)
    with engine.connect():
        other = engine.connect() if kind is QueuePool else None
    before = _used_and_idle()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            told = _used_and_idle()
            with engine.connect() as connection:  # the parent's, for all that the pool knows
                told += _used_and_idle()
                connection.invalidate()
            told += _used_and_idle()
            with engine.connect():
                told += _used_and_idle()
            told += _used_and_idle()
            os.write(writer, repr(told).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 1_000).decode() == "[(0, 0), (1, 0), (0, 0), (1, 0), (0, 1)]"
    assert _used_and_idle() == before == [(1 if other else 0, 1)]
    if other is not None:
        other.close()


def _connects() -> list[Any]:
    """The methods of pools that may be wrapped."""
    return [vars(kind).get("connect") for kind in (Pool, QueuePool, NullPool, StaticPool, SingletonThreadPool)]


def test_a_pool_met_while_all_is_taken_off_is_left_alone(telemetry: testing.Captured) -> None:
    """A thread that meets a pool loses the race against `uninstrument()`: the pool and its class stay as they were."""
    otel_session.uninstrument()
    before = _connects()
    otel_session.instrument(**telemetry.providers)

    class Racing(QueuePool):
        @property
        def _dialect(self) -> Any:
            otel_session.uninstrument()
            return vars(self).get("_dialect", QueuePool._dialect)

        @_dialect.setter
        def _dialect(self, value: Any) -> None:
            vars(self)["_dialect"] = value

    pool = Racing(lambda: sqlite3.connect(":memory:"))
    pool.connect().close()
    assert _connects() == before
    assert "connect" not in vars(Racing)
    assert [key for key in vars(pool) if "otel" in key] == []


def test_toggling_under_load_breaks_nothing(url: str) -> None:
    """Threads take and give back while the instrumentor goes on and off: no error, and nothing of ours stays."""
    engine = made(url, pool_size=4, max_overflow=0)
    before = _connects()
    errors: list[BaseException] = []
    over = threading.Event()

    def load() -> None:
        try:
            while not over.is_set():
                with engine.connect():
                    pass
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    with testing.captured() as telemetry:
        try:
            for _ in range(60):
                SQLAlchemyInstrumentor().instrument(engine=engine, **telemetry.providers)
                SQLAlchemyInstrumentor().uninstrument()
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert errors == []
        assert _connects() == before
        assert [key for key in vars(engine.pool) if "otel" in key] == []
        records = list(engine.pool._pool.queue)  # type: ignore[attr-defined]
        assert [key for record in records for key in vars(record) if "otel" in key] == []
        otel_session.instrument(**telemetry.providers)
        with engine.connect():
            assert states(telemetry, NAME)[0] == 1
        otel_session.uninstrument()


def test_times(url: str, telemetry: testing.Captured) -> None:
    """Seconds of creating, waiting (with the creation) and using, each at least as long as it took."""

    def slowly() -> Any:
        time.sleep(0.03)
        return sqlite3.connect(":memory:", check_same_thread=False)

    engine = made("sqlite://", creator=slowly)
    with engine.connect():
        time.sleep(0.05)
    sums = {k: telemetry.points(f"db.client.connection.{k}_time")[0].sum for k in ("create", "wait", "use")}
    assert 0.03 <= sums["create"] <= sums["wait"] < 5
    assert 0.05 <= sums["use"] < 5


def test_a_fault_of_ours_does_not_reach_the_application(
    url: str, telemetry: testing.Captured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails in counting: connections come and go."""
    engine = queue(url)
    watcher = SQLAlchemyInstrumentor()._pools
    assert watcher is not None
    (watch,) = watcher.watches()
    monkeypatch.setattr(watch, "wait", None)
    monkeypatch.setattr(watch, "use", None)
    monkeypatch.setattr(watch, "_create", None)
    with caplog.at_level(logging.WARNING), engine.connect() as connection:
        assert connection.execute(text("select 1")).scalar() == 1
    assert states(telemetry, NAME) == (0, 1)


def test_what_the_garbage_collector_gives_back_is_counted_later(url: str, telemetry: testing.Captured) -> None:
    """It may run in the middle of an SDK instrument, under its lock: nothing is counted there and then."""
    engine = queue(url)
    watcher = SQLAlchemyInstrumentor()._pools
    assert watcher is not None
    (watch,) = watcher.watches()
    counted: list[float] = []

    class Use:
        def add(self, value: float, context: Any = None, *, notable: bool = False) -> None:
            counted.append(value)

    watch.use = Use()
    forgotten = engine.raw_connection()
    del forgotten
    assert counted == []
    assert states(telemetry, NAME) == (0, 1)
    assert len(counted) == 1  # by the collection
    forgotten = engine.raw_connection()
    del forgotten
    engine.connect().close()
    assert len(counted) == 3


def test_the_same_by_our_own_exporters(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any SDK instrument: the same metrics, kinds, units, attributes and numbers."""
    monkeypatch.setattr(tallies, "_tallies", {})
    found = []
    for own in (True, False):
        with testing.captured() as telemetry:
            instruments.use_tallies(own)
            providers = {k: v for k, v in telemetry.providers.items() if k != "meter_provider" or not own}
            otel_session.instrument(**providers)
            try:
                engine = queue(url)
                with pytest.raises(sqlalchemy.exc.TimeoutError), engine.connect(), engine.connect(), engine.connect():
                    engine.connect()
                with engine.connect():
                    data = (
                        tallied.with_tallies(None, Resource({}), 0)
                        if own
                        else telemetry._reader.get_metrics_data()  # of the SDK's instruments
                    )
                found.append(_plain(data))
                engine.dispose()
                del engine
                gc.collect()
            finally:
                otel_session.uninstrument()
                instruments.use_tallies(False)
    assert found[0] == found[1]
    assert len(found[0]) == 12


def _plain(data: Any) -> dict[str, Any]:
    """Pool metrics, without what time does to them."""
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    return {
        metric.name: (
            metric.unit,
            metric.description,
            type(metric.data).__name__,
            getattr(metric.data, "is_monotonic", None),
            sorted((sorted(p.attributes.items()), _number(metric.name, p)) for p in metric.data.data_points),
        )
        for scope in scopes
        for metric in scope.metrics
        if metric.name.startswith(("db.client.connection.", "sqlalchemy.pool."))
    }


def _number(name: str, point: Any) -> Any:
    if hasattr(point, "explicit_bounds"):
        return point.count, list(point.explicit_bounds)
    return point.value > 0 if name.endswith("longest_use") else point.value
