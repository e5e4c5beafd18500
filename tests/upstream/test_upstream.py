"""SQLAlchemy's own tests know of no instrumentation: with ours they pass as before, and ours tells of what they send.

A part of them, which takes a minute; all of them: `python -m tests.upstream.run --version 2.1`.
"""

import pytest

from tests.upstream.run import compared

UNITS_OF_WORK = ("test/orm/test_transaction.py", "test/orm/test_session.py", "test/orm/test_unitofwork.py")
ENGINE = (
    "test/engine/test_execute.py",
    "test/engine/test_reconnect.py",
    "test/engine/test_transaction.py",
    "test/engine/test_parseconnect.py",
)


@pytest.mark.parametrize(
    ("version", "greenlet", "parts"),
    [
        ("2.1", True, (*UNITS_OF_WORK, *ENGINE, "test/orm/test_events.py")),
        ("2.1", False, (*UNITS_OF_WORK, *ENGINE)),
        ("2.0", True, (*UNITS_OF_WORK, *ENGINE)),
    ],
    ids=["2.1", "2.1-without-greenlet", "2.0"],
)
def test_sqlalchemys_own_tests_pass_and_their_statements_are_told_of(
    version: str, greenlet: bool, parts: tuple[str, ...]
) -> None:
    """No test newly fails; each statement is told of once; what begins, ends; and nothing is complained of."""
    found = compared(version, *parts, greenlet=greenlet)
    assert found.wrong() == {}, found.table()
    assert found.ours["greenlet"] is greenlet
    # Both were there to be compared.
    assert found.ours["statements"] > 5_000
    assert {"commit", "rollback", "close", "leaked"} <= found.ours["outcomes_of_units"].keys()


def test_asynchronous_engines_are_no_different() -> None:
    """On aiosqlite."""
    found = compared("2.1", "test/ext/asyncio", database="aiosqlite")
    assert found.wrong() == {}, found.table()
    assert found.ours["statements"] > 1_000
