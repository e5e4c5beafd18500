"""What is reported of a database is what the database says: sixteen workers, everything that can happen at once.

The identities are in `truth.py`, which also runs by hand, with as many operations as one likes.
"""

import pytest

from tests.instrumentors.sqlalchemy import truth
from tests.servers import Server

MANY, FEW = 6_000, 2_000


@pytest.fixture
def counting(postgresql: Server) -> Server:
    """A PostgreSQL that counts statements."""
    if not postgresql.statistics:
        pytest.skip("pg_stat_statements is not installed. Install it with: apt-get install postgresql-contrib")
    return postgresql


def _check(server: Server, driver: str, operations: int, *, leaves: bool = True) -> None:
    found = truth.run(server, driver, operations=operations, leaves=leaves)
    assert set(found.seen.spans) == {"commit", "rollback", "close", "leaked"}
    assert found.looks >= 3


@pytest.mark.parametrize(("driver", "operations", "leaves"), [("psycopg2", MANY, True), ("psycopg", FEW, False)])
def test_postgresql_from_threads(driver: str, operations: int, leaves: bool, counting: Server) -> None:
    """Commits, rollbacks, statements and connections are the server's own numbers; nothing is left alive."""
    _check(counting, driver, operations, leaves=leaves)


@pytest.mark.parametrize(("driver", "leaves"), [("asyncpg", True), ("psycopg_async", False)])
def test_postgresql_from_tasks(driver: str, leaves: bool, counting: Server) -> None:
    """The same with asynchronous ORM sessions, whose leaked connections are ended, not rolled back."""
    _check(counting, driver, FEW, leaves=leaves)


def test_mariadb(mariadb: Server) -> None:
    """COMMIT, ROLLBACK and each kind of statement, as often as MariaDB was sent them."""
    _check(mariadb, "pymysql", FEW)
