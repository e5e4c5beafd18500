"""SQLAlchemy's own tests know of no instrumentation: with ours they pass as before, and ours tells of what they send.

A part of them, which takes a minute; all of them: `python -m tests.upstream.run --version 2.1`.
"""

import pytest

from tests.upstream.run import compared

UNITS_OF_WORK = ("test/orm/test_transaction.py", "test/orm/test_session.py", "test/orm/test_unitofwork.py")
ENGINES = tuple(f"test/engine/test_{name}.py" for name in ("execute", "transaction", "parseconnect"))


@pytest.mark.parametrize(
    ("version", "parts", "leaves"),
    [
        ("2.1", (*UNITS_OF_WORK, *ENGINES), False),
        ("2.1", (*UNITS_OF_WORK, *ENGINES), True),
        ("2.0", (*UNITS_OF_WORK, "test/engine/test_reconnect.py"), False),
    ],
    ids=["2.1", "2.1-leaves", "2.0"],
)
def test_sqlalchemys_own_tests_pass_and_what_they_send_is_told(
    version: str, parts: tuple[str, ...], leaves: bool
) -> None:
    """No test newly fails; each statement is told of once; what begins, ends; and nothing is complained of."""
    found = compared(version, *parts, leaves=leaves)
    assert found.wrong() == {}, found.table()
    # There was something to be compared.
    assert found.ours["statements"] > 5_000
    assert bool(found.ours["leaves"]) is leaves
    assert {"commit", "rollback", "close", "leaked"} <= found.ours["outcomes_of_units"].keys()


def test_greenlet_is_not_needed() -> None:
    """Of SQLAlchemy 2.1, which does not bring it."""
    found = compared("2.1", "test/orm/test_transaction.py", "test/engine/test_transaction.py", greenlet=False)
    assert found.wrong() == {}, found.table()
    assert found.ours["greenlet"] is False
    assert found.ours["statements"] > 1_000


def test_asynchronous_engines_are_no_different() -> None:
    """On aiosqlite."""
    found = compared("2.1", "test/ext/asyncio/test_session.py", database="aiosqlite")
    assert found.wrong() == {}, found.table()
    assert found.ours["statements"] > 1_000
