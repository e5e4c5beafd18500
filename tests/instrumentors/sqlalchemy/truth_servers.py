"""What servers themselves say of the truth test's database; asked over connections that do not count there."""

import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from sqlalchemy.engine import make_url

from tests.servers import Server

DATABASE = "truth"
_GONE_S = 10.0


class Ends(NamedTuple):
    """Transactions that ended in the server."""

    commits: int
    rollbacks: int

    def plus(self, other: "Ends", times: int = 1) -> "Ends":
        """Added, so many times."""
        return Ends(self.commits + times * other.commits, self.rollbacks + times * other.rollbacks)


@dataclass
class Said:
    """What a server has counted so far.

    Attributes:
        ends: Transactions.
        sessions: Connections made; None where that does not matter.
        statements: What was executed: by normalised text (PostgreSQL: without those that failed), by first word
            (MariaDB: with those).
    """

    ends: Ends
    sessions: int
    statements: Counter[str]

    def since(self, before: "Said") -> "Said":
        """What came to it."""
        ends = self.ends.plus(before.ends, -1)
        return Said(ends, self.sessions - before.sessions, self.statements - before.statements)


class PostgreSQL:
    """`pg_stat_database`, `pg_stat_statements` and `pg_stat_activity`, asked from another database.

    Drivers prepare nothing here: psycopg would send DEALLOCATE ALL after a ROLLBACK, in a transaction that nothing
    lists; and of a SAVEPOINT that is prepared once PostgreSQL 15 counts the first execution only.

    Attributes:
        arguments: For the driver's `connect()`.
        toll: What the server counts for a connection that is only made: its start is a transaction that commits.
    """

    toll = Ends(1, 0)
    _ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        "psycopg": {"prepare_threshold": None},
        "asyncpg": {"prepared_statement_cache_size": 0},
    }
    pid = "select pg_backend_pid()"
    nonsense = "select * from nowhere"
    makes = """
        create table deal (id serial primary key, title varchar(40) unique,
        after_id integer references deal (id) deferrable initially deferred)"""
    # Sent by drivers to begin and end transactions, and by the server itself to check foreign keys.
    _OF_OTHERS = re.compile(r"(BEGIN|COMMIT|ROLLBACK)( ISOLATION.*)?;?$|SELECT \$\d FROM ONLY .* FOR KEY SHARE OF x$")

    def __init__(self, server: Server, driver: str) -> None:
        import psycopg2

        self.url = server.url(f"postgresql+{driver}", DATABASE)
        self.arguments = self._ARGUMENTS.get(driver.removesuffix("_async"), {})
        self._lock = threading.Lock()
        url = make_url(server.url("postgresql"))
        self._control = psycopg2.connect(host=url.host, port=url.port, user=url.username, dbname=url.database)
        self._control.autocommit = True
        self.ask("alter system set autovacuum = off")  # its workers end transactions, too
        self.ask("select pg_reload_conf()")
        self.ask("create extension if not exists pg_stat_statements")
        self.ask(f"drop database if exists {DATABASE} with (force)")
        self.ask(f"create database {DATABASE}")

    def ask(self, statement: str, *values: Any) -> Any:
        """All rows."""
        with self._lock, self._control.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def kill(self, pid: int) -> None:
        """End a connection, and wait until it is gone."""
        self.ask("select pg_terminate_backend(%s)", pid)  # with a time to wait it looks every 100 ms only
        _until(lambda: not self.ask("select 1 from pg_stat_activity where pid = %s", pid))

    def connections(self) -> int:
        """How many there are."""
        return int(self.ask("select count(*) from pg_stat_activity where datname = %s", DATABASE)[0][0])

    def said(self) -> Said:
        """What it has counted; connections write it down when they end."""
        counted = "select xact_commit, xact_rollback, sessions from pg_stat_database where datname = %s"
        commits, rollbacks, sessions = self.ask(counted, DATABASE)[0]
        calls = """select query, calls from pg_stat_statements where dbid =
            (select oid from pg_database where datname = %s)"""
        statements: Counter[str] = Counter()
        for query, count in self.ask(calls, DATABASE):
            if not self._OF_OTHERS.match(query):
                statements[self.normal(query)] += count
        return Said(Ends(commits, rollbacks), sessions, statements)

    def normal(self, statement: str) -> str:
        """A statement with every value as `?`, ours as well as the server's."""
        return re.sub(r"\$\d+|%\(\w+\)s|\b\d+\b", "?", " ".join(statement.split()))

    def close(self) -> None:
        """Leave the server as it was."""
        self.ask(f"drop database {DATABASE} with (force)")
        self.ask("alter system reset autovacuum")
        self.ask("select pg_reload_conf()")
        self._control.close()


class MariaDB:
    """`SHOW GLOBAL STATUS`: what clients have sent, whether it failed or not; our control sends none of these.

    PyMySQL sends ROLLBACK whenever it is asked to, and the pool asks after each COMMIT and ROLLBACK. Those, in no
    transaction, are counted in the driver and left out.
    """

    pid = "select connection_id()"
    nonsense = "select * from nowhere"
    makes = "create table deal (id integer primary key auto_increment, title varchar(40) unique, after_id integer)"
    toll = Ends(0, 0)
    arguments: ClassVar[dict[str, Any]] = {"ssl_disabled": True}  # else each connection reads the certificates
    _COUNTED: ClassVar[dict[str, str]] = {
        "SELECT": "Com_select",
        "INSERT": "Com_insert",
        "UPDATE": "Com_update",
        "DELETE": "Com_delete",
        "SAVEPOINT": "Com_savepoint",
        "RELEASE": "Com_release_savepoint",
        "ROLLBACK": "Com_rollback_to_savepoint",
    }

    def __init__(self, server: Server, driver: str) -> None:
        import pymysql

        self.url = server.url(f"mariadb+{driver}", DATABASE)
        self._lock = threading.Lock()
        self._idle = 0
        self._kind: Any = pymysql.connections.Connection
        self._of_driver = {name: getattr(self._kind, name) for name in ("query", "commit", "rollback")}
        self._watch()
        url = make_url(server.url("mysql"))
        self._control = pymysql.connect(host=url.host, port=url.port or 0, user=url.username, autocommit=None)
        self.ask(f"drop database if exists {DATABASE}")
        self.ask(f"create database {DATABASE}")

    def _watch(self) -> None:
        """Count ROLLBACKs sent where nothing was sent since the last COMMIT or ROLLBACK."""
        query, commit, rollback = (self._of_driver[name] for name in ("query", "commit", "rollback"))

        def asks(connection: Any, *args: Any, **kwargs: Any) -> Any:
            connection.truth_open = True
            return query(connection, *args, **kwargs)

        def commits(connection: Any) -> None:
            commit(connection)
            connection.truth_open = False

        def rolls_back(connection: Any) -> None:
            rollback(connection)
            with self._lock:
                self._idle += not getattr(connection, "truth_open", False)
            connection.truth_open = False

        self._kind.query, self._kind.commit, self._kind.rollback = asks, commits, rolls_back

    def ask(self, statement: str) -> Any:
        """All rows."""
        with self._lock, self._control.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def kill(self, pid: int) -> None:
        """End a connection, and wait until it is gone."""
        self.ask(f"kill {pid}")
        _until(lambda: all(row[0] != pid for row in self.ask("show processlist")))

    def connections(self) -> int:
        """How many there are."""
        return sum(row[3] == DATABASE for row in self.ask("show processlist"))

    def said(self) -> Said:
        """What it has counted."""
        status = {name: int(value) for name, value in self.ask("show global status like 'Com\\_%'")}
        words = Counter({word: status[name] for word, name in self._COUNTED.items()})
        return Said(Ends(status["Com_commit"], status["Com_rollback"] - self._idle), 0, words)

    def normal(self, statement: str) -> str:
        """What the server counts a statement as."""
        return statement.split()[0].upper()

    def close(self) -> None:
        """Leave the server as it was."""
        for name, method in self._of_driver.items():
            setattr(self._kind, name, method)
        self.ask(f"drop database {DATABASE}")
        self._control.close()


def _until(gone: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _GONE_S
    while not gone():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextlib.contextmanager
def database(server: Server, driver: str) -> Iterator[PostgreSQL | MariaDB]:
    """The truth test's own database, for the time of a block."""
    opened = MariaDB(server, driver) if driver == "pymysql" else PostgreSQL(server, driver)
    try:
        yield opened
    finally:
        opened.close()


def settles(truth: PostgreSQL | MariaDB, expected: int, wait: Callable[[float], Any]) -> int:
    """How many connections there are, once it is as expected or ten seconds are over; `wait` sleeps."""
    deadline = time.monotonic() + _GONE_S
    while (found := truth.connections()) != expected and time.monotonic() < deadline:
        wait(0.01)
    return found
