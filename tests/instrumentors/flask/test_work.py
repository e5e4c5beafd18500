"""What one request did in databases stands on its server span (feature E4), and equals what SQLite saw."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from sqlalchemy import Column, Integer, String, create_engine, event, select, text
from sqlalchemy.orm import Session, declarative_base

import otel_session
from otel_session import attributes as names
from otel_session import context as here
from otel_session import testing

Base: Any = declarative_base()


class Deal(Base):
    """A deal."""

    __tablename__ = "deal"
    id = Column(Integer, primary_key=True)
    title = Column(String(40))


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """Pages that use no, one or two ORM sessions, and plain connections."""
    engine = create_engine(f"sqlite:///{tmp_path}/deals.db")
    Base.metadata.create_all(engine)
    seen: list[str] = []
    event.listen(engine, "connect", lambda connection, _: connection.set_trace_callback(seen.append))
    app = Flask("work")
    app.extensions["seen"] = seen

    @app.get("/nothing")
    def nothing() -> str:
        return "nothing"

    @app.get("/two")
    def two() -> str:
        with Session(engine) as first, Session(engine) as second:
            first.add(Deal(title="a"))
            first.commit()
            second.execute(select(Deal)).all()
            second.rollback()
            second.execute(select(Deal)).all()
        return "two"

    @app.get("/core")
    def core() -> str:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO deal (title) VALUES ('b')"))
        return "core"

    @app.get("/broken")
    def broken() -> str:
        with Session(engine) as orm:
            orm.execute(text("SELECT * FROM nowhere"))
        return "never"

    return app


def _work(telemetry: testing.Captured, route: str) -> dict[str, Any]:
    (span,) = [s for s in telemetry.spans() if s.name == f"GET {route}"]
    prefix = "sqlalchemy.request."
    return {k.removeprefix(prefix): v for k, v in (span.attributes or {}).items() if k.startswith(prefix)}


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("/nothing", {}),
        ("/two", {"orm_sessions": 2, "statements": 3, "commits": 1, "rollbacks": 2, "recoveries": 0}),
        ("/core", {"orm_sessions": 0, "statements": 1, "commits": 0, "rollbacks": 0, "recoveries": 0}),
        ("/broken", {"orm_sessions": 1, "statements": 1, "commits": 0, "rollbacks": 1, "recoveries": 0}),
    ],
)
def test_counts_and_time(route: str, expected: dict[str, int], app: Flask, telemetry: testing.Captured) -> None:
    """ORM sessions, statements, COMMITs and ROLLBACKs of units of work, and the drivers' time, which is no guess."""
    app.test_client().get(route)

    found = _work(telemetry, route)
    seconds = found.pop("db_time", None)
    assert found == expected
    if expected:
        statements = [s for s in telemetry.spans() if names.DB_QUERY_TEXT in (s.attributes or {})]
        ends = [s for s in telemetry.spans() if s.name in names.DB_TRANSACTION_ENDS]
        told = sum((s.end_time or 0) - (s.start_time or 0) for s in statements + ends) / 1e9
        assert told <= seconds < told + 0.05  # the ROLLBACK of what is merely closed has no span


def test_requests_do_not_mix(app: Flask, telemetry: testing.Captured) -> None:
    """Each request has its own counts."""
    client = app.test_client()
    for route in ("/core", "/nothing", "/two"):
        client.get(route)
    assert _work(telemetry, "/core")["statements"] == 1
    assert _work(telemetry, "/nothing") == {}
    assert _work(telemetry, "/two")["statements"] == 3


def test_unsampled_requests_count_nothing(app: Flask) -> None:
    """Without a recorded span nobody asks, and nothing is counted."""
    seen: list[Any] = []
    app.add_url_rule("/who", "who", lambda: seen.append(here.current()) or "who")
    with testing.captured(ALWAYS_OFF) as telemetry:
        otel_session.instrument(**telemetry.providers)
        app.test_client().get("/who")
        otel_session.uninstrument()
    assert seen[0].work is None
