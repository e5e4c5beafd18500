"""The number of spans is the number an independent witness counts, under eight threads."""

import random
import re
import threading
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text

from otel_session import testing
from tests.servers import Server
from tests.spans import but_connects

THREADS = 8
EACH = 400


def _work(engine: Any, table: str, seed: int, errors: list[BaseException]) -> None:
    dice = random.Random(seed)
    try:
        for n in range(EACH):
            with engine.begin() as connection:
                kind = dice.randrange(4)
                if kind == 0:
                    connection.execute(text(f"INSERT INTO {table} (a, b) VALUES (:a, :b)"), {"a": n, "b": seed})
                elif kind == 1:
                    connection.execute(text(f"SELECT a FROM {table} WHERE b = :b LIMIT 3"), {"b": seed}).all()
                elif kind == 2:
                    connection.execute(
                        text(f"UPDATE {table} SET a = a + 1 WHERE b = :b AND a = :a"), {"a": n, "b": seed}
                    )
                else:
                    connection.execute(text(f"DELETE FROM {table} WHERE b = :b AND a = :a"), {"a": n, "b": seed})
    except BaseException as error:
        errors.append(error)


def _run_threads(engine: Any, table: str) -> None:
    errors: list[BaseException] = []
    threads = [threading.Thread(target=_work, args=(engine, table, n, errors)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def _by_operation(telemetry: testing.Captured) -> Counter[str]:
    return Counter(str((span.attributes or {})["db.operation.name"]) for span in but_connects(telemetry))


def test_sqlite_counts_the_same(telemetry: testing.Captured, tmp_path: Any) -> None:
    """SQLite's trace callback saw as many statements of each kind as there are spans."""
    engine = create_engine(f"sqlite:///{tmp_path}/counts.db", connect_args={"timeout": 60})
    seen: list[str] = []
    pragma = "pragma synchronous = off"
    event.listen(engine, "connect", lambda c, _: (c.execute(pragma), c.set_trace_callback(seen.append)))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counts (a INTEGER, b INTEGER)"))
    telemetry.clear()
    seen.clear()
    _run_threads(engine, "counts")
    engine.dispose()

    witnessed = Counter(s.split()[0] for s in seen if re.match(r"SELECT|INSERT|UPDATE|DELETE", s))
    assert _by_operation(telemetry) == witnessed
    assert witnessed.total() == THREADS * EACH
    assert sum(p.count for p in telemetry.points("db.client.operation.duration")) == THREADS * EACH + 1


def test_postgresql_counts_the_same(telemetry: testing.Captured, postgresql: Server) -> None:
    """pg_stat_statements has as many calls of each kind as there are spans."""
    if not postgresql.statistics:
        pytest.skip("pg_stat_statements is not installed. Install it with: apt-get install postgresql-contrib")
    engine = create_engine(postgresql.url("postgresql+psycopg2"), pool_size=THREADS)
    with engine.begin() as connection:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_stat_statements"))
        connection.execute(text("DROP TABLE IF EXISTS counts"))
        connection.execute(text("CREATE TABLE counts (a INTEGER, b INTEGER)"))
        connection.execute(text("SELECT pg_stat_statements_reset()"))
    telemetry.clear()
    _run_threads(engine, "counts")
    counted = _by_operation(telemetry)
    with engine.begin() as connection:
        ask = "SELECT split_part(query, ' ', 1), sum(calls) FROM pg_stat_statements WHERE query LIKE :q GROUP BY 1"
        witnessed = Counter({kind: int(calls) for kind, calls in connection.execute(text(ask), {"q": "% counts %"})})
    engine.dispose()

    witnessed = Counter({kind: n for kind, n in witnessed.items() if kind in ("SELECT", "INSERT", "UPDATE", "DELETE")})
    assert counted.total() == THREADS * EACH
    assert counted == witnessed
