"""What is reported of a database is what the database says: sixteen workers, everything that can happen at once.

The identities are in `truth.py`, which also runs by hand, with as many operations as one likes.
"""

import pytest

from tests.instrumentors.sqlalchemy import truth
from tests.servers import Server

THREADED, ASYNCHRONOUS = 6_000, 2_000


@pytest.mark.parametrize(("driver", "leaves"), [("psycopg2", True), ("psycopg", False)])
def test_postgresql_from_threads(driver: str, leaves: bool, postgresql: Server) -> None:
    """Commits, rollbacks, statements and connections are the server's own numbers; nothing is left alive."""
    found = truth.run(postgresql, driver, operations=THREADED if leaves else ASYNCHRONOUS, leaves=leaves)
    assert set(found.seen.spans) == {"commit", "rollback", "close", "leaked"}


@pytest.mark.parametrize(("driver", "leaves"), [("asyncpg", True), ("psycopg_async", False)])
def test_postgresql_from_tasks(driver: str, leaves: bool, postgresql: Server) -> None:
    """The same with asynchronous ORM sessions, whose leaked connections are ended, not rolled back."""
    found = truth.run(postgresql, driver, operations=ASYNCHRONOUS, leaves=leaves)
    assert set(found.seen.spans) == {"commit", "rollback", "close", "leaked"}


def test_mariadb(mariadb: Server) -> None:
    """COMMIT, ROLLBACK and each kind of statement, as often as MariaDB was sent them."""
    found = truth.run(mariadb, "pymysql", operations=ASYNCHRONOUS)
    assert set(found.seen.spans) == {"commit", "rollback", "close", "leaked"}
