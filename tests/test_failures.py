"""What is said of exceptions: type, code, a message and a stack without values."""

import sqlite3
import sys
from typing import Any

import pytest
from sqlalchemy import Column, Enum, Integer, String, create_engine, literal, select, text
from sqlalchemy.exc import CompileError, IntegrityError, StatementError
from sqlalchemy.orm import Session, declarative_base
from sqlalchemy.pool import StaticPool

from otel_session import failures

MARK = "zq" + "mark" + "er7"


def _raised(call: Any) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def _statement_fails(sql: str, **values: Any) -> BaseException:
    with create_engine("sqlite://").connect() as connection:
        connection.execute(text("CREATE TABLE deal (email TEXT UNIQUE)"))
        connection.execute(text("INSERT INTO deal VALUES (:a)"), {"a": MARK})
        return _raised(lambda: connection.execute(text(sql), values))


def test_names_of_types() -> None:
    """Qualified, builtins without their module."""

    class InnerError(Exception):
        """Stands in a function."""

    assert failures.type_name(ValueError()) == "ValueError"
    assert failures.type_name(sqlite3.IntegrityError()) == "sqlite3.IntegrityError"
    assert failures.type_name(InnerError()).endswith("test_names_of_types.<locals>.InnerError")


def test_what_names_objects_only_is_kept() -> None:
    """SQLite's unique violation names the column: type, code and words are told."""
    error = _statement_fails("INSERT INTO deal VALUES (:a)", a=MARK)
    assert isinstance(error, IntegrityError)
    said = failures.message(error)
    if sys.version_info >= (3, 11):
        assert said == "(sqlite3.IntegrityError) SQLITE_CONSTRAINT_UNIQUE UNIQUE constraint failed: deal.email"
        assert failures.status_code(error) == "SQLITE_CONSTRAINT_UNIQUE"


def test_what_may_hold_a_value_is_not_kept() -> None:
    """A syntax error quotes the statement."""
    said = failures.message(_statement_fails(f"SELEC '{MARK}'"))
    assert said.startswith("(sqlite3.OperationalError) ")
    assert said.endswith("[redacted]")


class _CodedError(Exception):
    """A driver's error with the attributes given."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args)
        self.__dict__.update(attributes)


class DatabaseError(_CodedError):
    """By its name a driver's (PEP 249)."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DatabaseError("x", sqlstate="23505"), "23505"),
        (DatabaseError("x", pgcode="40001"), "40001"),
        (DatabaseError(1062, "Duplicate entry", sqlstate="23000"), "1062"),
        (DatabaseError(0, ""), None),
        (DatabaseError(True), None),
        (DatabaseError(_CodedError(full_code="ORA-00001")), "ORA-00001"),
        (DatabaseError("x", sqlstate="y" * 99), None),
        (DatabaseError(), None),
        (ValueError(5), None),
        (OSError(2, "no such file"), None),
    ],
)
def test_codes(error: BaseException, code: str | None) -> None:
    """SQLSTATE, vendor numbers, Oracle's codes; nothing of what is no database error."""
    assert failures.status_code(error) == code


def test_codes_of_causes() -> None:
    """Where an adapter chains the driver's own error, that one's code; endless chains end."""
    outer, inner = DatabaseError("outer"), DatabaseError("inner", sqlstate="23505")
    outer.__cause__ = inner
    assert failures.status_code(outer) == "23505"
    first, second = DatabaseError("a"), DatabaseError("b")
    first.__cause__, second.__cause__ = second, first
    assert failures.status_code(first) is None
    assert "DatabaseError" in failures.stacktrace(first)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ('duplicate key value violates unique constraint "u"\nDETAIL:  Key (a)=(1) already exists.', True),
        ('null value in column "a" of relation "deal" violates not-null constraint', True),
        ('new row for relation "deal" violates check constraint "c"', True),
        ('insert or update on table "a" violates foreign key constraint "f"', True),
        ("deadlock detected\nDETAIL:  Process 1", True),
        ("could not serialize access due to concurrent update", True),
        ("canceling statement due to statement timeout", True),
        ("<class 'asyncpg.exceptions.X'>: deadlock detected", True),
        (f'invalid input syntax for type integer: "{MARK}"', False),
        (f"{MARK} deadlock detected", False),
        (f"a trigger of the application says {MARK}", False),
    ],
)
def test_words_of_postgresql(said: str, kept: bool) -> None:
    """Only sentences known to name objects are kept, whatever the code: a trigger may raise any code."""
    message = failures.message(DatabaseError(said, sqlstate="23505"))
    first = said.partition("\n")[0].rpartition(">: ")[2]
    assert message == (f"23505 {first}" if kept else "23505 [redacted]")


def test_a_converters_words_are_not_kept() -> None:
    """What a StatementError wraps may quote the value: neither its message nor its stack trace tells it."""
    from sqlalchemy.types import TypeDecorator

    class Picky(TypeDecorator[Any]):
        impl = String
        cache_ok = True

        def process_bind_param(self, value: Any, dialect: Any) -> Any:
            raise ValueError(f"cannot take {value!r}")

    with create_engine("sqlite://").connect() as connection:
        error = _raised(lambda: connection.execute(select(literal(MARK, Picky()))))
    assert isinstance(error, StatementError)
    assert MARK not in failures.message(error) + failures.stacktrace(error)
    assert "in process_bind_param" in failures.stacktrace(error)


def test_what_sqlalchemy_says_of_one_value_is_not_kept() -> None:
    """An unknown value of an Enum, a literal that cannot be rendered, two objects of one key."""
    base: Any = declarative_base()

    class Deal(base):  # type: ignore[misc]
        __tablename__ = "deal"
        email = Column(String, primary_key=True)
        mood = Column(Enum("glad", "sad", native_enum=False, create_constraint=False))
        n = Column(Integer)

    engine = create_engine("sqlite://", poolclass=StaticPool)
    base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO deal (email, mood) VALUES ('a', :m)"), {"m": MARK})
    with Session(engine) as orm:
        unknown = _raised(lambda: orm.execute(select(Deal)).all())
        same = _raised(lambda: (orm.add_all([Deal(email=MARK), Deal(email=MARK)]), orm.flush()))
    rendered = _raised(lambda: str(select(literal({MARK})).compile(engine, compile_kwargs={"literal_binds": True})))
    assert isinstance(unknown, LookupError)
    assert isinstance(rendered, CompileError)
    for error in (unknown, same, rendered):
        assert MARK not in failures.message(error) + failures.stacktrace(error)


def test_ordinary_errors_keep_their_words() -> None:
    """An application's own message stays; SQLAlchemy's about usage does too."""
    assert failures.message(ValueError("no deal of that name")) == "no deal of that name"
    assert failures.message(_raised(lambda: {}["key"])) == "'key'"
    with Session(create_engine("sqlite://")) as orm:
        assert "No row was found" in failures.message(_raised(lambda: orm.execute(text("SELECT 1 WHERE 0")).one()))


def test_a_stack_trace_names_every_link() -> None:
    """Causes come first, the words between them are Python's; values are nowhere."""
    error = _statement_fails("INSERT INTO deal VALUES (:a)", a=MARK)
    outer = _raised(lambda: _raise(RuntimeError(f"could not save: {error}"), error))
    stack = failures.stacktrace(outer)
    assert stack.index("sqlite3.IntegrityError: ") < stack.index("sqlalchemy.exc.IntegrityError: ")
    assert stack.count("The above exception was the direct cause of the following exception:") == 2
    assert stack.index("sqlalchemy.exc.IntegrityError: ") < stack.index("RuntimeError: could not save: ")
    assert MARK not in stack


def _raise(error: BaseException, cause: BaseException) -> None:
    raise error from cause


def test_a_stack_trace_is_bounded() -> None:
    """At most 32,768 characters, of which the end is kept."""
    stack = failures.stacktrace(ValueError("x" * 99_999))
    assert len(stack) <= 32_768
    error: BaseException = ValueError("first")
    for n in range(500):
        error = _raised(lambda error=error, n=n: _raise(ValueError("y" * 500 + str(n)), error))
    stack = failures.stacktrace(error)
    assert len(stack) <= 32_768
    assert stack.endswith("499\n")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_groups_name_what_they_hold() -> None:
    """Each exception of a group, without values."""
    kind: Any = __import__("builtins").ExceptionGroup
    stack = failures.stacktrace(kind("both", [ValueError("a"), DatabaseError(MARK)]))
    assert "  | ValueError: a\n" in stack
    assert MARK not in stack


class _UnreadableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_an_exception_that_cannot_be_read_breaks_nothing() -> None:
    """Its type is told all the same."""
    assert failures.message(_UnreadableError()) == "(its message could not be read)"
    assert "_UnreadableError" in failures.stacktrace(_UnreadableError())
