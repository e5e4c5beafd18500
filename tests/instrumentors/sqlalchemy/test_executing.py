"""What nearly all statements need, in one function: it tells what the long way tells, and is what is gone."""

import pathlib
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import flask
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import otel_session
from otel_session import instruments, tallies
from otel_session.instrumentors.sqlalchemy import queries
from otel_session.instrumentors.sqlalchemy.queries import QueryRecorder
from otel_session.wire.encoders import Branch, EncodingSpanProcessor
from tests.lanes import KeptLane

SELECT, INSERT = text("select title from deal where id = 1"), text("insert into deal (title) values (:title)")
WAIT, STOP = text("select wait(:seconds)"), text("select 'stop'")


class Stopped(BaseException):
    """What is no `Exception`, as a worker's time limit."""


def _engine(folder: pathlib.Path) -> Engine:
    """A new database, whose driver is stopped in the middle where that is asked for."""
    path = folder / f"{uuid.uuid4()}.db"
    with sqlite3.connect(path) as made:
        made.execute("create table deal (id integer primary key, title text unique)")

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.create_function("wait", 1, time.sleep)
        return connection

    engine = create_engine("sqlite://", creator=connect)
    own = engine.dialect.do_execute

    def do_execute(cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        if "stop" in statement and flask.request.args.get("stop"):
            raise Stopped
        own(cursor, statement, parameters, context)

    engine.dialect.do_execute = do_execute  # type: ignore[method-assign]
    return engine


def _app(tracer: Any, engine: Engine) -> flask.Flask:
    app = flask.Flask("shop")

    @app.get("/once")
    def once() -> str:
        with engine.begin() as connection:
            for statement in (SELECT, STOP):
                connection.execute(statement).all()
            connection.execute(WAIT, {"seconds": 0}).all()
            connection.execute(INSERT, {"title": flask.request.args["title"]})
        return ""

    @app.get("/again")
    def again() -> str:
        with Session(engine) as orm:
            orm.execute(SELECT).all()
            orm.execute(WAIT, {"seconds": 0.11}).all()
            with pytest.raises(IntegrityError):
                orm.execute(INSERT, {"title": "a"})
        with engine.connect() as connection:
            connection.execute(SELECT).all()
            with tracer.start_as_current_span("inner"):
                connection.execute(SELECT).all()
            with pytest.raises(Stopped):
                connection.execute(STOP).all()
        with Session(engine) as orm, tracer.start_as_current_span("outer"):
            orm.execute(SELECT).all()
        return ""

    return app


def _told(folder: pathlib.Path, sampler: Sampler, *, foreign: bool = False) -> tuple[list[Any], Counter[Any]]:
    """The spans of both requests as plain data, and what was measured how often."""
    lane, encoder = KeptLane(), EncodingSpanProcessor()
    encoder.add(Branch(lane, None))  # type: ignore[arg-type]
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(encoder)
    if foreign:
        provider.add_span_processor(_Foreign())
    tallies.reset()
    engine = _engine(folder)
    instruments.use_tallies(True)
    otel_session.instrument(tracer_provider=provider)
    try:
        client = _app(provider.get_tracer("app"), engine).test_client()
        assert client.get("/once?title=a").status_code == 200
        assert client.get("/again?stop=1").status_code == 200
        return _plain(lane), _measured()
    finally:
        otel_session.uninstrument()
        instruments.use_tallies(False)
        tallies.reset()
        engine.dispose()


class _Foreign(SpanProcessor):
    """Somebody else's: all spans are the SDK's own."""


def _plain(lane: KeptLane) -> list[Any]:
    spans = [Span.FromString(body) for body in lane.put_in]
    names = {span.span_id: span.name for span in spans}
    own = ("correlation.id", "session.id", "server.port", "user_agent.original")
    return sorted(
        (
            span.name,
            span.kind,
            names.get(span.parent_span_id, ""),
            span.status.SerializeToString(),
            sorted((a.key, str(a.value)) for a in span.attributes if a.key not in own and "time" not in a.key),
            sorted(a.key for a in span.attributes),
            len(span.links),
        )
        for span in spans
    )


def _measured() -> Counter[Any]:
    points = tallies.tally_of(queries._DURATION).read()
    assert all(point.total >= 0 for point in points)
    return Counter({tuple(sorted(point.attributes.items())): sum(point.counts) for point in points})


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that went the long way."""
    found: list[str] = []
    start: Callable[..., Any] = QueryRecorder.start

    def noted(recorder: QueryRecorder, target: Any, statement: str, *args: Any) -> Any:
        found.append(statement)
        return start(recorder, target, statement, *args)

    monkeypatch.setattr(QueryRecorder, "start", noted)
    return found


ORDINARY = ("select title", "select wait", "insert into deal", "select 'stop'")


def test_what_is_told_is_the_same_either_way(started: list[str], tmp_path: pathlib.Path) -> None:
    """Statements that end, fail, take long, are stopped; in units of work, under spans of the application's own."""
    short = _told(tmp_path, ALWAYS_ON)
    ordinary = [s for s in started if s.startswith(ORDINARY)]
    long = _told(tmp_path, ALWAYS_ON, foreign=True)
    assert short[0] == long[0]
    assert short[1] == long[1]
    assert len([span for span in short[0] if "db.query.text" in span[5]]) == 11
    # Each at its first sight, and those under spans of the application's own, which are the SDK's.
    assert len(ordinary) == len(ORDINARY) + 2


def test_an_unsampled_request_measures_the_same_and_tells_nothing(started: list[str], tmp_path: pathlib.Path) -> None:
    """Counted are the same statements, under the same attributes."""
    spans, measured = _told(tmp_path, ALWAYS_OFF)
    assert spans == []
    assert len([s for s in started if s.startswith(ORDINARY)]) == len(ORDINARY) + 2
    assert measured == _told(tmp_path, ALWAYS_ON)[1]
    assert sum(measured.values()) == 11


def test_what_fails_of_ours_is_never_the_applications(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """The function that writes spans is broken: every statement is executed, and fails as it would."""

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(QueryRecorder, "write", broken)
    assert [span for span in _told(tmp_path, ALWAYS_ON)[0] if span[0].startswith("SELECT")] == []
