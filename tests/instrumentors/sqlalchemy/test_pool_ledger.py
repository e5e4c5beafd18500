"""The ledger: who holds each connection now, and the alarm for those held for too long."""

import gc
import pathlib
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from opentelemetry import context as otel_context
from opentelemetry import trace
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.pool import QueuePool

import otel_session
from otel_session import HeldConnection, held_connections, testing
from otel_session.instrumentors.sqlalchemy import SQLAlchemyInstrumentor
from otel_session.instrumentors.sqlalchemy import pool_hooks as hooks
from otel_session.instrumentors.sqlalchemy import pool_ledger as ledger

NAME = "ledger"


@pytest.fixture(autouse=True)
def no_other_pools() -> None:
    """Engines of earlier tests are gone."""
    gc.collect()


@pytest.fixture
def engine(tmp_path: pathlib.Path) -> Engine:
    """A pool of three."""
    anywhere = {"check_same_thread": False}
    file = f"sqlite:///{tmp_path}/ledger.db"
    return create_engine(file, poolclass=QueuePool, pool_size=3, pool_logging_name=NAME, connect_args=anywhere)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let seconds go by at once."""
    gone = [0.0]
    real = hooks.perf_counter
    for module in (hooks, ledger):
        monkeypatch.setattr(module, "perf_counter", lambda: real() + gone[0])

    def wait(seconds: float) -> None:
        gone[0] += seconds

    return wait


def test_who_holds_it(engine: Engine, telemetry: testing.Captured) -> None:
    """Session, correlation id, span, thread and seconds of each holder, the longest first; none once all are back."""
    tracer = telemetry.providers["tracer_provider"].get_tracer("app")
    with (
        otel_session.bound_session("first-session", correlation_id="req_1"),
        tracer.start_as_current_span("import deals") as span,
    ):
        first = engine.connect()
    with otel_session.bound_session("second-session"):
        second = engine.connect()
    one, two = held_connections()
    assert (one.pool, one.session_id, one.correlation_id) == (NAME, "first-session", "req_1")
    assert one.span_name == "import deals"
    assert (one.trace_id, one.span_id) == (
        trace.format_trace_id(span.get_span_context().trace_id),
        trace.format_span_id(span.get_span_context().span_id),
    )
    assert one.thread == threading.current_thread().name
    assert (one.late, one.alarmed, one.route, one.opened_at, one.stack) == (False, False, None, None, ())
    assert (two.session_id, two.span_name, two.trace_id) == ("second-session", None, None)
    assert one.held_s >= two.held_s >= 0
    first.close()
    assert [held.session_id for held in held_connections()] == ["second-session"]
    second.close()
    assert held_connections() == []


def test_the_route(engine: Engine, telemetry: testing.Captured) -> None:
    """A request's route is known while its view still runs, with the root it is mounted at; a thread's, too."""
    app = Flask(__name__)
    found: list[HeldConnection] = []

    def look() -> None:
        with engine.connect():
            found.extend(held_connections())

    @app.get("/deals/<int:deal_id>")
    def deal(deal_id: int) -> str:
        look()
        return otel_session.get_correlation_id() or ""

    client = app.test_client()
    answered = client.get("/deals/5", base_url="http://localhost/shop").text
    assert (found[0].route, found[0].correlation_id) == ("/shop/deals/<int:deal_id>", answered)
    assert found[0].session_id is not None
    client.get("/deals/6")
    assert found[1].route == "/deals/<int:deal_id>"
    with app.app_context():
        look()
    assert found[2].route is None


def test_the_route_of_a_span(engine: Engine, telemetry: testing.Captured) -> None:
    """Of other frameworks, the route is what their span says."""
    tracer = telemetry.providers["tracer_provider"].get_tracer("app")
    with tracer.start_as_current_span("GET", attributes={"http.route": "/other"}), engine.connect():
        assert [held.route for held in held_connections()] == ["/other"]


def test_a_session_known_later(engine: Engine, telemetry: testing.Captured) -> None:
    """What becomes known of a session after the checkout is there: it is looked up when the ledger is read."""
    with otel_session.bound_session("early") as identity, engine.connect():
        identity.set_session("later", confirmed=True)
        assert [held.session_id for held in held_connections()] == ["later"]


def test_stacks(engine: Engine, telemetry: testing.Captured) -> None:
    """On demand: what the thread of each holder does at this moment."""
    holding, over = threading.Event(), threading.Event()

    def forgets_to_give_it_back() -> None:
        with engine.connect():
            holding.set()
            over.wait(10)

    thread = threading.Thread(target=forgets_to_give_it_back, name="forgetful")
    thread.start()
    holding.wait(10)
    (held,) = held_connections(stacks=True)
    over.set()
    thread.join()
    assert held.thread == "forgetful"
    assert any("forgets_to_give_it_back" in line and __file__ in line for line in held.stack)
    with engine.connect() as connection:
        assert held_connections(stacks=False)[0].stack == ()
        assert connection.execute(text("select 1")).scalar() == 1


@pytest.fixture
def telemetry_with_places() -> Iterator[testing.Captured]:
    """Instrumented with `pool_opened_at`."""
    with testing.captured() as captured:
        otel_session.instrument(pool_opened_at=True, **captured.providers)
        yield captured
        otel_session.uninstrument()


def test_where_it_was_opened(engine: Engine, telemetry_with_places: testing.Captured) -> None:
    """With `pool_opened_at`: the line of the application, not SQLAlchemy's or ours."""
    with engine.connect():
        (held,) = held_connections()
    assert held.opened_at is not None
    assert held.opened_at.startswith(f"{__file__}:")
    assert held.opened_at.endswith(" in test_where_it_was_opened")


def _events(telemetry: testing.Captured) -> list[Any]:
    return [r.log_record for r in telemetry.logs() if r.log_record.event_name == "sqlalchemy.pool.leak"]


def _leaks(telemetry: testing.Captured) -> list[Any]:
    return [p.value for p in telemetry.points("sqlalchemy.pool.leaks")]


def test_the_leak_alarm(
    engine: Engine, telemetry_with_places: testing.Captured, later: Callable[[float], None]
) -> None:
    """After the threshold: one event with who and where, and one count, for each connection once."""
    telemetry = telemetry_with_places
    tracer = telemetry.providers["tracer_provider"].get_tracer("app")
    with otel_session.bound_session("leaky", correlation_id="req_7"), tracer.start_as_current_span("work") as span:
        connection = engine.connect()
    later(59)
    assert (_leaks(telemetry), _events(telemetry)) == ([0], [])
    later(2)
    assert _leaks(telemetry) == [1]
    (event,) = _events(telemetry)
    told = dict(event.attributes)
    assert event.severity_text == "WARN"
    assert (event.trace_id, event.span_id) == (span.get_span_context().trace_id, span.get_span_context().span_id)
    assert 61 <= told.pop("sqlalchemy.pool.held_s") < 70
    assert str(told.pop("code.file.path")) == __file__
    assert isinstance(told.pop("code.line.number"), int)
    assert told == {
        "db.client.connection.pool.name": NAME,
        "session.id": "leaky",
        "correlation.id": "req_7",
        "thread.name": threading.current_thread().name,
        "code.function.name": "test_the_leak_alarm",
    }
    (longest,) = telemetry.points("sqlalchemy.pool.longest_use")
    assert 61 <= longest.value < 70
    later(600)
    assert held_connections()[0].alarmed
    assert (_leaks(telemetry), len(_events(telemetry))) == ([1], 1)
    connection.close()
    with engine.connect():
        assert not held_connections()[0].alarmed
    assert telemetry.points("sqlalchemy.pool.longest_use")[0].value == 0
    (use,) = telemetry.points("db.client.connection.use_time")
    assert (use.count, use.max >= 661) == (2, True)


def test_the_alarm_needs_no_collection(
    engine: Engine, telemetry: testing.Captured, later: Callable[[float], None]
) -> None:
    """Where nobody collects metrics, checkouts look for leaks now and then."""
    leaked = engine.connect()
    later(61)
    assert _events(telemetry) == []
    with engine.connect():
        assert len(_events(telemetry)) == 1
    leaked.close()


def test_an_alarm_of_many_threads_is_one(
    engine: Engine, telemetry: testing.Captured, later: Callable[[float], None]
) -> None:
    """Several who look at the same time tell of a connection once."""
    leaked = engine.connect()
    later(61)
    threads = [threading.Thread(target=held_connections) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_events(telemetry)) == 1
    leaked.close()


def test_the_threshold_is_a_setting(
    engine: Engine, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`OTEL_SESSION_POOL_LEAK_S`."""
    monkeypatch.setenv("OTEL_SESSION_POOL_LEAK_S", "5")
    with testing.captured() as telemetry:
        otel_session.instrument(**telemetry.providers)
        try:
            with engine.connect():
                later(4)
                assert _leaks(telemetry) == [0]
                later(2)
                assert _leaks(telemetry) == [1]
        finally:
            otel_session.uninstrument()


class Kept:
    """Something an application keeps in the context."""


def test_nobody_is_kept_longer_than_the_checkout(engine: Engine, telemetry: testing.Captured) -> None:
    """The ledger lets go of the holder's context when the connection is back, or the instrumentor is off."""
    for give_back in (True, False):
        kept = Kept()
        seen = weakref.ref(kept)
        token = otel_context.attach(otel_context.set_value("kept", kept))
        connection = engine.connect()
        otel_context.detach(token)
        del kept, token
        gc.collect()
        assert seen() is not None
        if give_back:
            connection.close()
        else:
            otel_session.uninstrument()
        gc.collect()
        assert seen() is None


def test_nothing_grows(engine: Engine, telemetry: testing.Captured) -> None:
    """10,000 checkouts later there is one record of nobody."""
    watcher = SQLAlchemyInstrumentor()._pools
    assert watcher is not None
    for _ in range(10_000):
        engine.connect().close()
    (watch,) = watcher.watches()
    assert (len(watch.out), len(watch.waiting), len(watch.postponed)) == (0, 0, 0)
    assert [p.count for p in telemetry.points("db.client.connection.use_time")] == [10_000]


def test_without_sqlalchemy_switched_on() -> None:
    """Nobody is watched: nobody is found."""
    assert held_connections() == []
