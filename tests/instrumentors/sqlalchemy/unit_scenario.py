"""Every way in which a unit of work begins and ends, on one version of SQLAlchemy; prints what was told as JSON.

Run by `test_units.py` in an environment of its own: `python unit_scenario.py short|real|official|unsampled`. Imports
nothing of the tests. Each case's spans are printed as a tree of lines, in the order in which they began.
"""

import asyncio
import contextlib
import gc
import json
import logging
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

warnings.simplefilter("error")
warnings.filterwarnings("ignore", "SelectableGroups")  # how SQLAlchemy 1.4.11 looks for its dialects
warnings.filterwarnings("ignore", message=".*SQLALCHEMY_WARN_20.*|.*Deprecated API features.*")  # 1.4's notice
warnings.filterwarnings("ignore", category=ResourceWarning)  # leaks are among the cases

import sqlalchemy  # noqa: E402
from opentelemetry import context as otel_context  # noqa: E402
from opentelemetry import trace  # noqa: E402
from opentelemetry.proto.trace.v1.trace_pb2 import Span  # noqa: E402
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF  # noqa: E402
from sqlalchemy import Column, ForeignKey, Integer, String, create_engine, event, text  # noqa: E402
from sqlalchemy.exc import DBAPIError  # noqa: E402
from sqlalchemy.orm import Session, declarative_base, relationship, scoped_session, sessionmaker  # noqa: E402
from sqlalchemy.pool import QueuePool, StaticPool  # noqa: E402

import otel_session  # noqa: E402
from otel_session import testing  # noqa: E402
from otel_session.instrumentors.sqlalchemy import SQLAlchemyInstrumentor, unit_signals  # noqa: E402
from otel_session.wire.encoders import Branch, EncodingSpanProcessor  # noqa: E402

Base: Any = declarative_base()
PREFIX = "sqlalchemy.unit_of_work."
unit_signals._SLOW_NS = 10**12  # on a busy machine a ROLLBACK is slow enough for a span at times
CASES: dict[str, Callable[[Any], Any]] = {}


class Deal(Base):
    """A deal, and the deal it follows on from."""

    __tablename__ = "deal"
    id = Column(Integer, primary_key=True)
    title = Column(String(40), unique=True)
    after_id = Column(ForeignKey("deal.id", deferrable=True, initially="DEFERRED"))
    after = relationship("Deal", remote_side=[id])


def case(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A case to run."""
    CASES[function.__name__] = function
    return function


def _orm(engine: Any, **kwargs: Any) -> Any:
    return Session(engine, future=True, **kwargs)


@case
def committed(engine: Any) -> None:
    """One object added, one changed, one deleted, committed in two units."""
    with _orm(engine) as orm:
        orm.add_all([Deal(title="a"), Deal(title="b")])
        orm.commit()
        first, second = orm.execute(sqlalchemy.select(Deal).order_by(Deal.id)).scalars().all()
        first.title = "c"
        orm.delete(second)
        orm.commit()


@case
def closed(engine: Any) -> None:
    """Read, and closed without commit; rows are fetched as they come."""
    with _orm(engine) as orm:
        orm.execute(text("select 1")).all()


@case
def rolled_back(engine: Any) -> None:
    """`rollback()` by the application, for no error."""
    with _orm(engine) as orm:
        orm.add(Deal(title="a"))
        orm.flush()
        orm.rollback()


@case
def python_error(engine: Any) -> None:
    """An exception in the block of `begin()`."""
    with contextlib.suppress(ValueError), _orm(engine) as orm, orm.begin():
        orm.execute(text("select 1"))
        raise ValueError("no")


@case
def python_error_closes(engine: Any) -> None:
    """An exception in the block of the ORM session."""
    with contextlib.suppress(ValueError), _orm(engine) as orm:
        orm.execute(text("select 1"))
        raise ValueError("no")


@case
def handled_rollback(engine: Any) -> None:
    """`rollback()` while an exception is handled."""
    orm = _orm(engine)
    try:
        orm.execute(text("select 1"))
        raise KeyError("k")
    except KeyError:
        orm.rollback()
    orm.close()


@case
def failed_flush(engine: Any) -> None:
    """A flush that fails, seen by the application, and the ORM session used again."""
    with _orm(engine) as orm:
        orm.add_all([Deal(title="a")])
        orm.flush()
        orm.add(Deal(title="a"))
        with contextlib.suppress(DBAPIError):
            orm.flush()
        orm.rollback()
        orm.execute(text("select 1"))


@case
def failed_statement(engine: Any) -> None:
    """A statement that fails, after which the application goes on and commits."""
    with _orm(engine) as orm:
        with contextlib.suppress(DBAPIError):
            orm.execute(text("select * from nowhere"))
        orm.execute(text("select 1"))
        orm.commit()


@case
def failed_statement_closes(engine: Any) -> None:
    """A statement that fails, and no commit."""
    with contextlib.suppress(DBAPIError), _orm(engine) as orm:
        orm.execute(text("select * from nowhere"))


@case
def savepoints(engine: Any) -> None:
    """One savepoint released, one rolled back for an error; the unit commits."""
    with _orm(engine) as orm:
        with orm.begin_nested():
            orm.add(Deal(title="a"))
        with contextlib.suppress(DBAPIError), orm.begin_nested():
            orm.add(Deal(title="a"))
        orm.commit()


@case
def failed_commit(engine: Any) -> None:
    """A COMMIT that the database refuses, for a constraint that is checked at the end."""
    with contextlib.suppress(DBAPIError), _orm(engine) as orm:
        orm.add(Deal(title="a", after_id=99))
        orm.commit()


@case
def reused(engine: Any) -> None:
    """An ORM session used again after `close()`."""
    orm = _orm(engine)
    for _ in range(2):
        orm.execute(text("select 1"))
        orm.close()


@case
def leaked(engine: Any) -> None:
    """An ORM session that is let go of with its unit of work open."""
    orm = _orm(engine)
    orm.execute(text("select 1"))
    del orm
    gc.collect()


@case
def unused(engine: Any) -> None:
    """ORM sessions that touch no database make no unit of work."""
    with _orm(engine) as orm:
        orm.add(Deal(title="a"))
        orm.expunge_all()
    with _orm(engine) as orm:
        orm.commit()


@case
def joined(engine: Any) -> None:
    """An ORM session on a connection whose transaction is somebody else's."""
    with engine.begin() as connection, _orm(connection) as orm:
        orm.execute(text("select 1"))
        orm.commit()


@case
def own_span(engine: Any) -> None:
    """A span of the application's own keeps the statements issued under it."""
    tracer = trace.get_tracer("app", tracer_provider=PROVIDER)
    with _orm(engine) as orm:
        orm.execute(text("select 1"))
        with tracer.start_as_current_span("step"):
            orm.execute(text("select 2"))
        orm.execute(text("select 3"))
        orm.commit()


@case
def later_request(engine: Any) -> None:
    """A unit of work used in a later trace is linked to it and keeps its own."""
    tracer = trace.get_tracer("app", tracer_provider=PROVIDER)
    orm = _orm(engine)
    orm.execute(text("select 1"))
    token = otel_context.attach(otel_context.Context())
    try:
        with tracer.start_as_current_span("later"):
            orm.execute(text("select 2"))
            orm.commit()
    finally:
        otel_context.detach(token)


@case
def no_request(engine: Any) -> None:
    """Outside of any span a unit of work is a root."""
    token = otel_context.attach(otel_context.Context())
    try:
        with _orm(engine) as orm:
            orm.execute(text("select 1"))
            orm.commit()
    finally:
        otel_context.detach(token)


@case
def other_thread(engine: Any) -> None:
    """A unit of work begun here and ended on another thread."""
    orm = _orm(engine)
    orm.execute(text("select 1"))

    def end() -> None:
        orm.commit()
        orm.close()

    thread = threading.Thread(target=end)
    thread.start()
    thread.join()


@case
def interleaved(engine: Any) -> None:
    """Two units of work begun and ended in turn."""
    first, second = _orm(engine), _orm(engine)
    first.execute(text("select 1"))
    second.execute(text("select 2"))
    first.commit()
    second.commit()
    assert trace.get_current_span().get_span_context().span_id == REQUEST[0]


@case
def scoped(engine: Any) -> None:
    """`scoped_session` and its `remove()`."""
    orm = scoped_session(sessionmaker(engine, future=True))
    orm.execute(text("select 1"))
    orm.remove()


@case
def several_binds(engine: Any) -> None:
    """One unit of work over two engines: two connections, two COMMITs."""
    other = _engine()
    with Session(future=True) as orm:
        orm.connection(bind_arguments={"bind": engine}).execute(text("select 1"))
        orm.connection(bind_arguments={"bind": other}).execute(text("select 2"))
        orm.commit()


@case
def connecting(_: Any) -> None:
    """A first connection is made inside its unit of work, a second one under the application's span it is for."""
    tracer = trace.get_tracer("app", tracer_provider=PROVIDER)
    first, second = _engine(), _engine()
    for _ in range(2):
        with Session(future=True) as orm:
            orm.connection(bind_arguments={"bind": first}).execute(text("select 1"))
            with tracer.start_as_current_span("step"):
                orm.connection(bind_arguments={"bind": second}).execute(text("select 2"))
    with _engine().connect() as connection:
        connection.execute(text("select 3"))


@case
def unreachable(_: Any) -> None:
    """The database cannot be reached, by an ORM session and without one."""

    def refuse() -> Any:
        raise ConnectionRefusedError("no")

    engine = create_engine("sqlite://", creator=refuse, future=True)
    with contextlib.suppress(ConnectionRefusedError), _orm(engine) as orm:
        orm.execute(text("select 1"))
    with contextlib.suppress(ConnectionRefusedError):
        engine.connect()


@case
def without_listeners(engine: Any) -> None:
    """The application takes all listeners off: units of work end all the same."""
    dispatch: Any = Session.dispatch
    dispatch._clear()
    for _ in range(2):
        with _orm(engine) as orm:
            orm.execute(text("select 1"))
            orm.commit()
            orm.execute(text("select 2"))


@case
def next_begun_by_a_listener(engine: Any) -> None:
    """A listener of the application's goes on with the ORM session the moment its transaction has ended."""
    orm, told = _orm(engine), list[Any]()

    def go_on(_: Any, transaction: Any) -> None:
        if not told:
            told.append(transaction)
            orm.execute(text("select 2"))

    event.listen(orm, "after_transaction_end", go_on)
    orm.execute(text("select 1"))
    orm.commit()
    orm.close()


@case
def asynchronous(_: Any) -> None:
    """An asynchronous ORM session; committed, failed, and cancelled."""
    try:
        from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
    except ImportError:
        return

    async def run() -> None:
        engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool, future=True)
        async with AsyncSession(engine) as orm:
            await orm.execute(text("select 1"))
            await orm.commit()
        with contextlib.suppress(ValueError):
            async with AsyncSession(engine) as orm, orm.begin():
                await orm.execute(text("select 2"))
                raise ValueError("no")
        async with AsyncSession(engine) as orm:
            await orm.execute(text("select 3"))
        await engine.dispose()

    asyncio.run(run())


def _engine() -> Any:
    folder = tempfile.mkdtemp()
    engine = create_engine(
        f"sqlite:///{folder}/deals.db",
        poolclass=QueuePool,
        connect_args={"check_same_thread": False, "timeout": 5},
        future=True,
    )
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys=ON"))
    return engine


PROVIDER: Any = None
REQUEST: list[int] = []


class _Lane:
    closed = False

    def __init__(self) -> None:
        self.before_seal: Callable[[], None] = lambda: None
        self._kept: list[bytes] = []

    def put(self, _origin: Any, item: Any, _size: int) -> None:
        self._kept.append(item)

    def put_all(self, origin: Any, items: list[Any], sizes: list[int]) -> None:
        for item, size in zip(items, sizes, strict=True):
            self.put(origin, item, size)

    def announce(self) -> None:
        pass

    @property
    def put_in(self) -> list[bytes]:
        self.before_seal()
        return self._kept


class _Foreign(SpanProcessor):
    """Somebody else's: with it every span is one of the SDK's."""


def _telling(attributes: dict[str, Any]) -> Iterator[str]:
    yield str(attributes.get(PREFIX + "outcome", ""))
    for word in ("statements", "savepoints"):
        if PREFIX + word in attributes:
            yield f"{attributes[PREFIX + word]} {word}"
    if PREFIX + "flushed.new" in attributes:
        yield "flushed " + "/".join(str(attributes[PREFIX + "flushed." + kind]) for kind in ("new", "dirty", "deleted"))
    if PREFIX + "rollback.reason" in attributes:
        yield "for " + str(attributes[PREFIX + "rollback.reason"])
    if PREFIX + "joined" in attributes:
        yield "joined"
    if "error.type" in attributes:
        yield "error " + str(attributes["error.type"])


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value")) if value.WhichOneof("value") else None


def _lines(bodies: list[bytes]) -> list[str]:
    spans = [Span.FromString(body) for body in bodies]
    ids = {span.span_id for span in spans}
    below: dict[bytes, list[Any]] = {}
    for span in sorted(spans, key=lambda s: (s.start_time_unix_nano, -s.end_time_unix_nano)):
        below.setdefault(span.parent_span_id if span.parent_span_id in ids else b"", []).append(span)
    return list(_tree(below, b"", 0))


def _tree(below: dict[bytes, list[Any]], parent: bytes, depth: int) -> Iterator[str]:
    for span in below.get(parent, ()):
        attributes = {a.key: _value(a.value) for a in span.attributes}
        assert attributes.get("session.id") in ("run-1", None), attributes
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        words = " ".join(word for word in _telling(attributes) if word)
        name = span.name.replace("sqlalchemy.unit_of_work", "unit")
        failed = " FAILED" if span.status.code == 2 else ""
        links = f" links {len(span.links)}" if span.links else ""
        yield "  " * depth + f"{name} {words}".rstrip() + links + failed
        yield from _tree(below, span.span_id, depth + 1)


def _run(name: str, mode: str) -> dict[str, Any]:
    global PROVIDER
    lane = _Lane()
    PROVIDER = TracerProvider(shutdown_on_exit=False, sampler=ALWAYS_OFF if mode == "unsampled" else None)
    encoder: Any = EncodingSpanProcessor()
    encoder.add(Branch(lane, None, None))  # type: ignore[arg-type]
    PROVIDER.add_span_processor(encoder)
    if mode in ("real", "official"):
        PROVIDER.add_span_processor(_Foreign())
    engine = _engine()
    Base.metadata.create_all(engine)
    with testing.captured() as telemetry:
        if mode == "official":
            from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor as Official

            Official().instrument(engine=engine, tracer_provider=PROVIDER)
        otel_session.instrument(**{**telemetry.providers, "tracer_provider": PROVIDER})
        hooks: Any = SQLAlchemyInstrumentor()._units
        with otel_session.bound_session("run-1"):
            tracer = PROVIDER.get_tracer("app")
            with tracer.start_as_current_span("request") as request:
                REQUEST[:] = [request.get_span_context().span_id]
                CASES[name](engine)
        gc.collect()
        counts, sessions = hooks.signals.counts, hooks.orm_sessions
        found = {
            "lines": _lines(lane.put_in),
            "commits": counts.commits,
            "rollbacks": counts.rollbacks,
            "errors": dict(counts.errors),
            "orm_sessions": [sessions.made, sessions.ended, sessions.active],
            "open": len(sessions.units),
            "outcomes": _outcomes(telemetry),
        }
        otel_session.uninstrument()
        if mode == "official":
            Official().uninstrument()
    return found


def _outcomes(telemetry: testing.Captured) -> dict[str, int]:
    points = telemetry.points("sqlalchemy.unit_of_work.duration")
    return {dict(point.attributes)[PREFIX + "outcome"]: point.count for point in points}


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


if __name__ == "__main__":
    log = _Log()
    logging.getLogger().addHandler(log)
    results = {name: _run(name, sys.argv[1]) for name in CASES}
    print(json.dumps({"version": sqlalchemy.__version__, "cases": results, "log": log.said}))
