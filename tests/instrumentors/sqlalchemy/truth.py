"""The truth test: what we report of a database is what the database says, to the last transaction.

    python -m tests.instrumentors.sqlalchemy.truth --operations 100000 --threads 16 --driver psycopg2

Workers do all that can happen to a unit of work at once (`truth_work.py`). Now and then everybody waits: then the
server, asked from elsewhere, is compared with the metrics and spans. There is no tolerance. On paper:

PostgreSQL counts each transaction once, as it ends:

    xact_commit   = COMMITs reported + toll of the connections made
    xact_rollback = ROLLBACKs reported + transactions whose connection was killed or closed + COMMITs refused + toll
    calls of each statement in pg_stat_statements = its spans without an error

where the toll is what a connection costs that nobody uses (`PostgreSQL.toll`), a failed statement in a transaction is
counted when it fails and not again by the ROLLBACK that follows, and a COMMIT answered with ROLLBACK, because a
statement has failed before, is reported as ROLLBACK.

MariaDB counts what it is sent, whether it succeeds or not; a killed transaction was sent no ROLLBACK:

    Com_commit = COMMITs reported        Com_rollback = ROLLBACKs reported
    Com_select, Com_insert … = spans - those sent on connections that had been killed
"""

import argparse
import gc
import time
import warnings
from collections import Counter

from sqlalchemy.exc import SAWarning

from otel_session import held_connections
from tests.instrumentors.sqlalchemy import truth_servers, truth_work
from tests.instrumentors.sqlalchemy.pools import states
from tests.instrumentors.sqlalchemy.truth_crew import ASYNCHRONOUS, ROUND, Tasks, Threads
from tests.instrumentors.sqlalchemy.truth_seen import UNIT, Begun, Seen, watching
from tests.instrumentors.sqlalchemy.truth_servers import Ends, MariaDB, PostgreSQL, Said, settles
from tests.instrumentors.sqlalchemy.truth_work import Worker
from tests.servers import Server, run_mariadb, run_postgresql


class Truth:
    """One run.

    Attributes:
        looks: How often the connections were compared.
        found: What the server has said at the end.
    """

    def __init__(self, server: PostgreSQL | MariaDB, seen: Seen, crew: Threads) -> None:
        self.server, self.seen, self.crew = server, seen, crew
        self.looks = 0
        crew.run_sync(lambda connection: connection.exec_driver_sql(server.makes))
        self._rest()
        if isinstance(server, PostgreSQL):
            self._check_toll()
        self.before = server.said()
        self.begun = Begun(crew.sync_engine, server.normal)
        seen.read()
        self.seen_before = Counter(seen.statements)
        self.reported_before = self.reported()

    def reported(self) -> Ends:
        """What we say."""
        commits, rollbacks = (self.seen.metric(f"{UNIT}.{name}").total() for name in ("commits", "rollbacks"))
        return Ends(commits, rollbacks)

    def round(self) -> None:
        """Work, and compare."""
        crew = self.crew
        crew.all_at_once(crew.work)
        self._look()
        gc.collect()  # what has leaked
        self._look()
        holders = sorted(f"session-{worker.number}" for worker in crew.held)
        assert sorted(str(held.session_id) for held in held_connections() if held.pool == self.crew.pool) == holders
        crew.all_at_once(crew.let_go)
        self._look()
        self._rest()
        self.compare()

    def _look(self) -> None:
        self.looks += 1
        gc.disable()  # else what has leaked might be collected in the middle of the look
        try:
            used, idle = states(self.seen.telemetry, self.crew.pool)
            found = settles(self.server, used + idle, self.crew.wait)
            if found != used + idle and isinstance(self.crew, Tasks):
                # SQLAlchemy drops a leaked connection that it cannot close; the driver closes it when nothing refers to
                # it any more, which may be garbage that the collection before did not come to.
                gc.collect()
                used, idle = states(self.seen.telemetry, self.crew.pool)
                found = settles(self.server, used + idle, self.crew.wait)
            assert found == used + idle, (found, used, idle)
            held = sum(held.pool == self.crew.pool for held in held_connections())
            assert held == used, (held, used)
        finally:
            gc.enable()

    def _rest(self) -> None:
        self.crew.dispose()
        assert settles(self.server, 0, self.crew.wait) == 0

    def _check_toll(self) -> None:
        """What a connection costs that nobody uses is what the paper says."""
        before = self.server.said()
        for _ in range(3):
            self.crew.run_sync(lambda _: None)
            self._rest()
        said = self.server.said().since(before)
        assert said.sessions == 3
        assert said.ends == Ends(0, 0).plus(self.server.toll, 3), said

    def compare(self) -> None:
        """The server's numbers and ours."""
        said, reported = self.server.said().since(self.before), self.reported().plus(self.reported_before, -1)
        workers = self.crew.workers
        on_its_own = 0
        if isinstance(self.server, PostgreSQL):
            on_its_own = sum(worker.server_ended + worker.refused for worker in workers)
        expected = reported.plus(Ends(0, on_its_own)).plus(self.server.toll, said.sessions)
        assert said.ends == expected, (said.ends, reported, on_its_own, said.sessions)
        self._compare_statements(said)
        self._compare_units()
        self.said, self.said_reported, self.on_its_own = said, reported, on_its_own

    def _compare_statements(self, said: Said) -> None:
        self.seen.read()
        ours: Counter[str] = Counter()
        for text, count in (self.seen.statements - self.seen_before).items():
            ours[self.server.normal(text)] += count
        failed: Counter[str] = Counter()
        for text, count in self.seen.failed.items():
            failed[self.server.normal(text)] += count
        assert failed == self.begun.failed, (failed, self.begun.failed)
        if isinstance(self.server, MariaDB):
            ours += failed
            ours -= sum((worker.unheard for worker in self.crew.workers), Counter())
        assert +ours == +said.statements, (ours - said.statements, said.statements - ours)

    def _compare_units(self) -> None:
        outcomes = self.seen.metric(f"{UNIT}.duration", f"{UNIT}.outcome")
        assert outcomes == self.seen.spans
        assert outcomes.total() == self.begun.units, (outcomes, self.begun.units)
        assert self.seen.metric(f"{UNIT}.errors", "error.type") == self.seen.errors

    def end(self) -> None:
        """Nothing is left alive, and nothing was said in the log."""
        self.begun.end()
        gc.collect()
        assert self.seen.left() == {"units": 0, "orm sessions": 0, "marks": 0, "held": 0}
        made, closed = (self.seen.metric(f"sqlalchemy.orm_session.{name}").total() for name in ("created", "closed"))
        assert made == closed > 0
        assert self.seen.log == []


def run(server: Server, driver: str, *, operations: int, workers: int = 16, leaves: bool = True) -> Truth:
    """Do that many operations, and compare all the time; raises AssertionError where we are wrong."""
    with warnings.catch_warnings(), truth_servers.database(server, driver) as database, watching(leaves=leaves) as seen:
        warnings.simplefilter("ignore", SAWarning)  # of leaks
        warnings.simplefilter("ignore", ResourceWarning)
        works = truth_work.WORKS + (truth_work.ON_POSTGRESQL if isinstance(database, PostgreSQL) else [])
        everybody = [Worker(number, database.pid, database.nonsense, database.kill) for number in range(workers)]
        crew = (Tasks if driver in ASYNCHRONOUS else Threads)(database, everybody, works, seen)
        try:
            truth = Truth(database, seen, crew)
            for _ in range(-(-operations // (ROUND * workers))):
                truth.round()
            truth.end()
        finally:
            crew.dispose()
            crew.close()
    return truth


def main() -> None:
    """Run by hand."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=16, help="or tasks")
    parser.add_argument("--driver", default="psycopg2", help="psycopg2, psycopg, psycopg_async, asyncpg or pymysql")
    parser.add_argument("--sdk", action="store_true", help="every span one of the SDK's, none written as a leaf")
    options = parser.parse_args()
    began = time.monotonic()
    with (run_mariadb if options.driver == "pymysql" else run_postgresql)() as server:
        truth = run(
            server, options.driver, operations=options.operations, workers=options.threads, leaves=not options.sdk
        )
    print(f"{time.monotonic() - began:.0f} s, {truth.looks} looks at the connections")
    print(f"the server: {truth.said.ends}, {truth.said.sessions} connections")
    print(f"reported: {truth.said_reported}; ended by the server itself: {truth.on_its_own}")
    print(f"statements: {truth.said.statements.total()} in {len(truth.said.statements)} texts", end="; ")
    print(f"failed: {truth.begun.failed.total()}; units of work: {dict(truth.seen.spans)}")


if __name__ == "__main__":
    main()
