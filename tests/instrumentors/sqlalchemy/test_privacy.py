"""No value of a statement or of a database's error gets into any signal, whatever the driver and whoever logs it."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, bindparam, func, insert, literal, select, text
from sqlalchemy import types as sqltypes
from sqlalchemy.exc import SQLAlchemyError

from otel_session import testing
from tests.instrumentors.sqlalchemy.databases import DRIVERS

MARK = "zq" + "mark" + "er7"  # never whole on a source line, which a stack trace may show
NUMBER = int("8675309") * 1000 + 1
table = Table(
    "privacy_deal",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("email", String(80), unique=True),
    Column("amount", Integer),
)
log = logging.getLogger("app.privacy")


def _everything(telemetry: testing.Captured) -> str:
    """All that was captured, as one text."""
    said: list[Any] = []
    for span in telemetry.spans():
        said += [span.name, span.status.description, dict(span.attributes or {})]
        said += [(event.name, dict(event.attributes or {})) for event in span.events]
    for each in telemetry.logs():
        record = each.log_record
        said += [record.body, record.event_name, dict(record.attributes or {})]
    said += [dict(point.attributes) for point in telemetry.points("db.client.operation.duration")]
    return repr(said)


def _assert_clean(telemetry: testing.Captured) -> None:
    found = _everything(telemetry)
    for mark in (MARK, str(NUMBER)):
        at = found.find(mark)
        assert at < 0, f"told: …{found[max(0, at - 300) : at + 60]}…"


@pytest.fixture(params=DRIVERS)
def database(request: pytest.FixtureRequest, telemetry: testing.Captured, connect: Any) -> Any:
    made = connect(request.param, echo="debug")
    check = "CREATE TABLE privacy_deal (id INTEGER PRIMARY KEY, email VARCHAR(80) UNIQUE, amount INTEGER NOT NULL, "
    make = check + "CHECK (amount > 0))"
    made.run(lambda c: (c.execute(text("DROP TABLE IF EXISTS privacy_deal")), c.execute(text(make))))
    made.run(lambda c: c.execute(insert(table).values(id=1, email=MARK, amount=1)))
    return made


def _literal(connection: Any, value: Any) -> str:
    """A statement with its values written into it."""
    made = select(table.c.id).where(table.c.email == literal(value), table.c.amount.in_([NUMBER, 2]))
    return str(made.compile(connection.engine, compile_kwargs={"literal_binds": True})).replace("%%", "%")


WORKING: dict[str, Callable[[Any], Any]] = {
    "parameters": lambda c: c.execute(select(table).where(table.c.email == MARK)),
    "like": lambda c: c.execute(select(table).where(table.c.email.contains(MARK))),
    "in": lambda c: c.execute(select(table).where(table.c.email.in_([MARK, MARK + "2"]))),
    "text": lambda c: c.execute(text(f"SELECT id FROM privacy_deal WHERE email = '{MARK}' AND amount < {NUMBER % 9}1")),
    "text like": lambda c: c.execute(text(f"SELECT id FROM privacy_deal WHERE email LIKE '%{MARK}%'")),
    "doubled": lambda c: c.execute(text(f"SELECT id FROM privacy_deal WHERE email = 'it''s {MARK}'")),
    "comment": lambda c: c.execute(text(f"SELECT id /* {MARK} */ FROM privacy_deal -- {MARK}\n")),
    "literal_binds": lambda c: c.exec_driver_sql(_literal(c, MARK).replace(str(NUMBER), "7")),
    "json": lambda c: c.execute(text("SELECT :a"), {"a": f'{{"a": "{MARK}"}}'}),
    "number": lambda c: c.execute(select(table).where(table.c.id == literal(NUMBER, sqltypes.BigInteger))),
    "executemany": lambda c: c.execute(
        insert(table),
        [{"id": n, "email": f"{MARK}{n}", "amount": 3} for n in (2, 3)],
    ),
    "long": lambda c: c.execute(text("SELECT '" + MARK * 3000 + "', 'x'")),
}
OF_A_SYSTEM: dict[str, dict[str, str]] = {
    "postgresql": {
        "escape": f"SELECT E'it\\'s {MARK}'",
        "dollar": f"SELECT $${MARK}$$, $a$ it's $$ {MARK}$a$",
        "json": f'SELECT \'{{"a": "{MARK}"}}\'::jsonb',
        "nested comment": f"SELECT 1 /* a /* b */ it's {MARK} */",
    },
    "mariadb": {
        "double": f'SELECT id FROM privacy_deal WHERE email = "{MARK}"',
        "escape": f"SELECT 'it\\'s {MARK}', \"it\\\"s {MARK}\"",
        "hash": f"SELECT 1 # it's {MARK}\n",
    },
    "sqlite": {"double": f'SELECT id FROM privacy_deal WHERE email = "{MARK}"'},
}


@pytest.mark.parametrize("what", WORKING)
def test_values_of_statements_are_not_told(what: str, database: Any, telemetry: testing.Captured) -> None:
    """Parameters and literals of every kind, with `echo="debug"` on."""
    database.run(WORKING[what])
    assert telemetry.spans()
    _assert_clean(telemetry)


def test_literals_of_each_database_are_not_told(database: Any, telemetry: testing.Captured) -> None:
    """The ways of writing a string that only this database has."""
    for sql in OF_A_SYSTEM[database.driver.system].values():
        database.run(lambda c, sql=sql: c.execute(text(sql.replace("%", "%%").replace(":", "\\:"))))
    _assert_clean(telemetry)


BAD_NUMBER = "SELECT CAST(:a AS INTEGER)"
FAILING: dict[str, Callable[[Any], Any]] = {
    "unique": lambda c: c.execute(insert(table).values(id=9, email=MARK, amount=1)),
    "check": lambda c: c.execute(insert(table).values(id=9, email=MARK + "9", amount=-1)),
    "not null": lambda c: c.execute(insert(table).values(id=9, email=MARK + "9", amount=None)),
    "literal": lambda c: c.execute(text(f"INSERT INTO privacy_deal VALUES (9, '{MARK}', 1)")),
    "many": lambda c: c.execute(insert(table), [{"id": n, "email": MARK, "amount": 1} for n in (8, 9)]),
    "syntax": lambda c: c.execute(text(f"SELEC '{MARK}'")),
    "unterminated": lambda c: c.execute(text(f"SELECT 'abc {MARK}")),
    "wrong type": lambda c: c.execute(
        insert(table).values(id=bindparam("i", type_=sqltypes.NullType())), {"i": [MARK]}
    ),
    "too long": lambda c: c.execute(insert(table).values(id=9, email=MARK * 99, amount=None)),
    "no column": lambda c: c.execute(text("SELECT nothing FROM privacy_deal WHERE email = :a"), {"a": MARK}),
    "convert": lambda c: c.execute(select(literal(MARK, _Picky()))),
    "data": lambda c: c.execute(select(func.privacy_no_such(MARK, NUMBER))),
    "number": lambda c: c.execute(text(f"INSERT INTO privacy_deal (id, email, amount) VALUES ('{MARK}', 'x', 0)")),
}


class _Picky(sqltypes.TypeDecorator[Any]):
    """Refuses a value the way converters do: by quoting it."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        raise ValueError(f"cannot take {value!r}")


def _log_in_every_way(error: BaseException) -> None:
    """What applications write when a statement fails, while they handle it."""
    orig = getattr(error, "orig", error)
    log.exception("failed")
    log.error("failed: %s", error)
    log.error("failed: %r", error)
    log.error(f"failed: {error}")
    log.error(f"failed: {error!r}")
    log.error(f"failed: {orig}")
    log.error(f"failed: {orig!r}")
    log.error("failed: %s", str(orig).strip())
    log.error(error)
    log.error("failed", exc_info=error)
    log.error("failed", extra={"error": error, "text": str(error), "nested": {"e": [str(orig)]}})
    try:
        raise RuntimeError(f"could not save: {error}") from error
    except RuntimeError as wrapped:
        log.exception("wrapped")
        log.error("wrapped: %s", wrapped)


def _log_later(error: BaseException) -> None:
    """The same when the error is no longer being handled: its words have to be known."""
    orig = getattr(error, "orig", error)
    assert sys.exc_info()[1] is None
    for said in (str(error), repr(error), str(orig), repr(orig), str(error)[:400]):
        log.error("later: " + said.replace("%", "%%"))
        log.error("later", extra={"text": said})


@pytest.mark.parametrize("what", FAILING)
def test_values_in_errors_are_not_told(what: str, database: Any, telemetry: testing.Captured) -> None:
    """Spans, metric, logs of the exception in every way, its stack trace, and the SDK's own exception event."""
    caught: BaseException | None = None
    tracer = telemetry.providers["tracer_provider"].get_tracer("app")
    try:
        with tracer.start_as_current_span("work"):
            database.run(FAILING[what])
    except Exception as error:
        caught = error
        _log_in_every_way(error)
    if caught is None:
        assert (what, database.driver.system) in {("check", "x"), ("number", "sqlite"), ("too long", "sqlite")}
        return
    assert isinstance(caught, SQLAlchemyError)
    _assert_clean(telemetry)
    if what != "convert":  # a converter of the application's own: nobody can know its words later
        _log_later(caught)
        _assert_clean(telemetry)
    assert len([r for r in telemetry.logs() if r.log_record.body]) > 10


@pytest.mark.parametrize("driver", [name for name, driver in DRIVERS.items() if driver.system == "postgresql"])
def test_a_commit_that_fails_does_not_tell(driver: str, telemetry: testing.Captured, connect: Any) -> None:
    """A deferred constraint fails at COMMIT: SQLAlchemy's error has no statement then, the driver's words are there."""
    database = connect(driver)
    make = "CREATE TABLE privacy_deferred (a text UNIQUE DEFERRABLE INITIALLY DEFERRED)"
    database.run(lambda c: (c.execute(text("DROP TABLE IF EXISTS privacy_deferred")), c.execute(text(make))))
    twice = text("INSERT INTO privacy_deferred VALUES (:a), (:a)")
    caught: BaseException | None = None
    try:
        database.run(lambda c: c.execute(twice, {"a": MARK}))
    except SQLAlchemyError as error:
        caught = error
        _log_in_every_way(error)
    assert caught is not None
    _log_later(caught)
    _assert_clean(telemetry)
