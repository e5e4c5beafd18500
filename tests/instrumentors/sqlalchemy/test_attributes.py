"""The attributes of spans and of the duration metric, on each driver."""

from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from otel_session import testing
from tests.instrumentors.sqlalchemy.databases import DRIVERS, Database

DURATION = "db.client.operation.duration"
BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)


def _where(database: Any) -> dict[str, Any]:
    """What an engine's statements have in common."""
    url = database.engine.url
    found = {"db.system.name": database.driver.system, "db.namespace": url.database or ":memory:"}
    if url.host:
        found |= {"server.address": url.host, "server.port": url.port}
    return found


def _mark(database: Any) -> str:
    style = (getattr(database.engine, "sync_engine", database.engine)).dialect.paramstyle
    return {"qmark": "?", "numeric_dollar": "$1", "format": "%s", "pyformat": "%(wanted)s"}[style]


def _table(name: str) -> Any:
    def make(connection: Any) -> None:
        connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
        connection.execute(text(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, email VARCHAR(80) UNIQUE)"))
        connection.execute(text(f"INSERT INTO {name} VALUES (1, 'a@example.org')"))

    return make


@pytest.fixture(params=DRIVERS)
def database(request: pytest.FixtureRequest, telemetry: testing.Captured, connect: Any) -> Any:
    made = connect(request.param)
    made.run(_table("attributes_deal"))
    telemetry.clear()
    return made


def test_a_select_says_what_it_read_from_where(database: Any, telemetry: testing.Captured) -> None:
    """All stable attributes, exactly; no parameter."""
    ask = text("SELECT id FROM attributes_deal WHERE email = :wanted")
    database.run(lambda c: c.execute(ask, {"wanted": "a@example.org"}).all())

    (span,) = telemetry.spans()
    assert dict(span.attributes or {}) == {
        **_where(database),
        "db.operation.name": "SELECT",
        "db.collection.name": "attributes_deal",
        "db.query.summary": "SELECT attributes_deal",
        "db.query.text": f"SELECT id FROM attributes_deal WHERE email = {_mark(database)}",
    }
    assert (span.name, span.kind, span.status.status_code) == (
        "SELECT attributes_deal",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert not span.events


def test_the_duration_is_the_spans(database: Any, telemetry: testing.Captured) -> None:
    """One histogram point with the advised buckets, the span's attributes without its text, and its very duration."""
    database.run(lambda c: c.execute(text("SELECT count(*) FROM attributes_deal")).scalar())

    (span,) = telemetry.spans()
    (point,) = [p for p in telemetry.points(DURATION) if p.attributes["db.query.summary"] == span.name]
    expected = dict(span.attributes or {})
    del expected["db.query.text"]
    assert dict(point.attributes) == expected
    assert point.count == 1
    assert point.sum == pytest.approx((span.end_time - span.start_time) / 1e9, abs=1e-12)
    assert tuple(point.explicit_bounds) == BUCKETS


def test_a_batch_is_one_span_with_its_size(database: Any, telemetry: testing.Captured) -> None:
    """`executemany` of three sets: BATCH before operation and summary, and the number of sets."""
    rows = [{"id": n, "email": f"{n}@example.org"} for n in (2, 3, 4)]
    database.run(lambda c: c.execute(text("INSERT INTO attributes_deal VALUES (:id, :email)"), rows))

    (span,) = telemetry.spans()
    attributes = dict(span.attributes or {})
    assert span.name == attributes["db.query.summary"] == "BATCH INSERT attributes_deal"
    assert attributes["db.operation.name"] == "BATCH INSERT"
    assert attributes["db.operation.batch.size"] == 3
    (point,) = [p for p in telemetry.points(DURATION) if p.attributes["db.operation.name"] == "BATCH INSERT"]
    assert point.count == 1


def test_one_set_is_no_batch(database: Any, telemetry: testing.Captured) -> None:
    """A batch of one is an ordinary statement (semantic conventions)."""
    database.run(lambda c: c.execute(text("INSERT INTO attributes_deal VALUES (:id, 'x')"), [{"id": 9}]))

    (span,) = telemetry.spans()
    assert span.name == "INSERT attributes_deal"
    assert "db.operation.batch.size" not in (span.attributes or {})


def test_a_failure_says_its_type_and_the_databases_code(database: Any, telemetry: testing.Captured) -> None:
    """The driver's own exception and the server's code, on span and metric; no description, no event, no value."""
    again = text("INSERT INTO attributes_deal VALUES (7, :email)")
    with pytest.raises(IntegrityError):
        database.run(lambda c: c.execute(again, {"email": "a@example.org"}))

    (span,) = telemetry.spans()
    told = {"error.type": database.driver.unique[0], "db.response.status_code": database.driver.unique[1]}
    assert told.items() <= dict(span.attributes or {}).items()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert not span.events
    (point,) = [p for p in telemetry.points(DURATION) if "error.type" in p.attributes]
    assert told.items() <= dict(point.attributes).items()
    assert not [log for log in telemetry.logs() if log.log_record.event_name]


def _opened(driver: str, port: int) -> dict[str, Any]:
    """Engine options that connect without the URL."""
    import asyncpg
    import psycopg
    import psycopg2
    import pymysql

    postgresql = {"host": "127.0.0.1", "port": port, "user": "tester", "dbname": "postgres"}
    database = {k: v for k, v in postgresql.items() if k != "dbname"} | {"database": "postgres"}
    mysql = {"host": "127.0.0.1", "port": port, "user": "root", "database": "mysql"}
    return {
        "postgresql+psycopg2": lambda: {"creator": lambda: psycopg2.connect(**postgresql)},
        "postgresql+psycopg": lambda: {"creator": lambda: psycopg.connect(**postgresql)},
        "postgresql+psycopg_async": lambda: {"async_creator": lambda: psycopg.AsyncConnection.connect(**postgresql)},
        "postgresql+asyncpg": lambda: {"async_creator": lambda: asyncpg.connect(**database)},
        "mysql+pymysql": lambda: {"creator": lambda: pymysql.connect(**mysql)},
    }[driver]()


@pytest.mark.parametrize("driver", [name for name, d in DRIVERS.items() if d.server and not name.startswith("mariadb")])
def test_where_the_url_says_nothing_the_connection_is_asked(
    driver: str, request: pytest.FixtureRequest, telemetry: testing.Captured
) -> None:
    """With `creator=` or `async_creator=` host, port and database come from the driver's connection."""
    server = request.getfixturevalue(str(DRIVERS[driver].server))
    database = Database(driver, f"{driver}://", **_opened(driver, server.port))
    database.run(lambda c: c.execute(text("SELECT 1")))
    database.dispose()

    attributes = dict(telemetry.spans()[-1].attributes or {})
    assert (attributes["server.address"], attributes["server.port"]) == ("127.0.0.1", server.port)
    assert attributes["db.namespace"] == ("postgres" if server.user == "tester" else "mysql")


def test_credentials_of_the_url_are_nowhere(telemetry: testing.Captured, connect: Any) -> None:
    """A user name and a password in the URL are on no span, metric or log."""
    database = connect("postgresql+psycopg2")
    database.run(lambda c: c.execute(text("SELECT 1")))

    assert "tester" not in repr([dict(s.attributes or {}) for s in telemetry.spans()])
    assert "tester" not in repr([dict(p.attributes) for p in telemetry.points(DURATION)])
