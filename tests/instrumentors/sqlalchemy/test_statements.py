"""What is read from SQL: operations, tables, and a text that holds no literal."""

import gc
import random
import string
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_session.instrumentors.sqlalchemy.statements import read

SYSTEMS = ["sqlite", "postgresql", "mysql", "mariadb", "oracle.db", "microsoft.sql_server", "", "clickhouse"]

SUMMARIES = [
    ("SELECT * FROM wuser_table WHERE username = ?", "SELECT wuser_table"),
    ("SELECT * FROM songs, artists WHERE songs.artist_id = artists.id", "SELECT songs artists"),
    ("INSERT INTO shipping (order_id) SELECT id FROM orders WHERE id = ?", "INSERT shipping SELECT orders"),
    (
        "SELECT d FROM (SELECT * FROM orders o JOIN customers c ON o.cid = c.id)",
        "SELECT SELECT orders customers",
    ),
    ("select a, b from deal order by a, b", "SELECT deal"),
    ("SELECT a FROM deal GROUP BY a, b HAVING count(*) > 1", "SELECT deal"),
    ("SELECT * FROM deal AS d LEFT OUTER JOIN owner AS o ON o.id = d.owner_id", "SELECT deal owner"),
    ("SELECT * FROM deal d, owner o, city c", "SELECT deal owner city"),
    ("SELECT * FROM a JOIN b USING (id) JOIN c ON b.id = c.id, d", "SELECT a b c d"),
    ("SELECT * FROM a NATURAL JOIN b CROSS JOIN c", "SELECT a b c"),
    ("SELECT * FROM (a JOIN b ON a.id = b.id) JOIN c ON TRUE", "SELECT a b c"),
    ("SELECT * FROM deal d1 JOIN deal d2 ON d1.id = d2.parent", "SELECT deal"),
    ("SELECT a FROM x UNION ALL SELECT b FROM y ORDER BY 1, 2", "SELECT x SELECT y"),
    ("(SELECT a FROM x) UNION (SELECT b FROM y)", "SELECT x SELECT y"),
    ("SELECT * FROM x WHERE id IN (SELECT x_id FROM y)", "SELECT x SELECT y"),
    ("SELECT * FROM x WHERE EXISTS (SELECT 1 FROM y WHERE y.id = x.id)", "SELECT x SELECT y"),
    ("SELECT (SELECT max(a) FROM y) AS m FROM x", "SELECT SELECT y x"),
    ("SELECT EXTRACT(year FROM created) FROM deal", "SELECT deal"),
    ("SELECT trim(BOTH 'x' FROM name) FROM deal", "SELECT deal"),
    ("SELECT a IS DISTINCT FROM b FROM deal", "SELECT deal"),
    ("SELECT * FROM generate_series(1, 3) AS g, deal", "SELECT deal"),
    ("SELECT * FROM deal, LATERAL (SELECT * FROM owner) o", "SELECT deal SELECT owner"),
    ("SELECT * FROM ONLY deal", "SELECT deal"),
    ("SELECT * FROM deal FOR UPDATE OF deal SKIP LOCKED", "SELECT deal"),
    ("SELECT replace(a, 'x', 'y') FROM deal WHERE (replace(a, 'x', 'y') = 'z')", "SELECT deal"),
    ("SELECT 1", "SELECT"),
    ("SELECT count(*) FROM public.deal", "SELECT public.deal"),
    ('SELECT * FROM "Sales"."Deal 2025"', "SELECT Sales.Deal 2025"),
    ('SELECT "deal"."from" FROM "deal"', "SELECT deal"),
    ("SELECT * FROM `shop`.`deal`", "SELECT shop.deal"),
    ("-- a comment\n/* and one */ SELECT * FROM deal", "SELECT deal"),
    ("WITH recent AS (SELECT * FROM deal) SELECT * FROM recent", "SELECT deal SELECT"),
    ("WITH a AS (SELECT 1), b (x) AS MATERIALIZED (SELECT 2) SELECT * FROM a, b, c", "SELECT SELECT SELECT c"),
    (
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t",
        "SELECT t",
    ),
    ("WITH gone AS (DELETE FROM deal RETURNING *) INSERT INTO log SELECT * FROM gone", "DELETE deal INSERT log SELECT"),
    ("INSERT INTO deal (a, b) VALUES (?, ?), (?, ?)", "INSERT deal"),
    ("INSERT INTO deal (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET a = excluded.a", "INSERT deal"),
    ("INSERT INTO deal (a) VALUES (%s) ON DUPLICATE KEY UPDATE a = VALUES(a)", "INSERT deal"),
    ("INSERT OR REPLACE INTO deal VALUES (?)", "INSERT deal"),
    ("INSERT IGNORE INTO deal VALUES (%s)", "INSERT deal"),
    ("REPLACE INTO deal VALUES (?)", "REPLACE deal"),
    ("INSERT INTO deal DEFAULT VALUES RETURNING id", "INSERT deal"),
    ("UPDATE deal SET a = ?, b = ? WHERE id IN (SELECT id FROM owner)", "UPDATE deal SELECT owner"),
    ("UPDATE deal SET a = owner.a FROM owner, city WHERE TRUE", "UPDATE deal owner city"),
    ("UPDATE deal d, owner o SET d.a = o.a", "UPDATE deal owner"),
    ("DELETE FROM deal WHERE id = ?", "DELETE deal"),
    ("DELETE FROM deal USING owner WHERE TRUE", "DELETE deal owner"),
    ("MERGE INTO deal USING offer ON deal.id = offer.id WHEN MATCHED THEN UPDATE SET a = 1", "MERGE deal offer"),
    ("CREATE TABLE IF NOT EXISTS deal (id INTEGER PRIMARY KEY, b INT REFERENCES owner)", "CREATE TABLE deal"),
    ("CREATE TEMPORARY TABLE deal AS SELECT * FROM owner", "CREATE TABLE deal SELECT owner"),
    ("CREATE UNIQUE INDEX ix_a ON deal (a)", "CREATE INDEX deal"),
    ("CREATE OR REPLACE VIEW v AS SELECT * FROM deal", "CREATE VIEW v SELECT deal"),
    ("CREATE SCHEMA sales", "CREATE SCHEMA sales"),
    ("ALTER TABLE deal ADD COLUMN x INT", "ALTER TABLE deal"),
    ("ALTER USER somebody PASSWORD 'x'", "ALTER USER"),
    ("DROP TABLE IF EXISTS deal, owner", "DROP TABLE deal owner"),
    ("DROP INDEX ix_a", "DROP INDEX"),
    ("TRUNCATE TABLE deal", "TRUNCATE deal"),
    ("EXPLAIN SELECT * FROM deal", "EXPLAIN SELECT deal"),
    ("EXPLAIN ANALYZE UPDATE deal SET a = 1", "EXPLAIN UPDATE deal"),
    ("EXPLAIN QUERY PLAN DELETE FROM deal", "EXPLAIN DELETE deal"),
    ("CALL close_month(?, ?)", "CALL close_month"),
    ("PRAGMA main.table_info(deal)", "PRAGMA main.table_info"),
    ("PRAGMA foreign_keys = ON", "PRAGMA foreign_keys"),
    ("SET search_path TO tenant", "SET"),
    ("SHOW CREATE TABLE `deal`", "SHOW deal"),
    ("DESCRIBE `deal`", "DESCRIBE deal"),
    ("COPY deal (a, b) FROM STDIN", "COPY deal"),
    ("LOCK TABLE deal IN SHARE MODE", "LOCK deal"),
    ("BEGIN", "BEGIN"),
    ("SAVEPOINT sa_savepoint_1", "SAVEPOINT"),
    ("ROLLBACK TO SAVEPOINT sa_savepoint_1", "ROLLBACK"),
    ("VACUUM", "VACUUM"),
    ("VALUES (1, 2)", "VALUES"),
    ("DELETE FROM a; DELETE FROM b", "DELETE a DELETE b"),
    ("", ""),
    ("   ", ""),
]


@pytest.mark.parametrize(("sql", "summary"), SUMMARIES)
def test_summaries(sql: str, summary: str) -> None:
    """Operations in order, each with its tables; the semantic conventions' own examples among them."""
    assert read(sql, "mysql" if "`" in sql else "postgresql").summary == summary


@pytest.mark.parametrize(
    ("sql", "operation"),
    [
        ("with x as (select 1) delete from deal", "DELETE"),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
        ("  select 1", "SELECT"),
        ("(select 1)", "SELECT"),
        ("CREATE TABLE x (a INT)", "CREATE"),
    ],
)
def test_operations(sql: str, operation: str) -> None:
    """The first keyword in capitals, the main one after WITH."""
    assert read(sql).operation == operation


@pytest.mark.parametrize(
    ("system", "sql", "text"),
    [
        ("sqlite", "SELECT 'a''b', 1.5e-3, x'ff', ?1, :n", "SELECT ?, ?, ?, ?1, :n"),
        ("sqlite", 'SELECT "t"."a" FROM "t" WHERE "a" = "v"', 'SELECT "t"."a" FROM "t" WHERE ? = ?'),
        ("sqlite", 'INSERT INTO "t" ("a", "b") VALUES ("v", ?)', 'INSERT INTO "t" ("a", "b") VALUES (?, ?)'),
        ("sqlite", 'UPDATE "t" SET "a"=?, "b" = "v" WHERE 1', 'UPDATE "t" SET "a"=?, "b" = ? WHERE ?'),
        ("sqlite", 'CREATE TABLE "t" ("a" INTEGER DEFAULT 5)', 'CREATE TABLE "t" ("a" INTEGER DEFAULT ?)'),
        ("sqlite", "SELECT [a'b], 'v'", "SELECT [a'b], ?"),
        ("postgresql", "SELECT $1::int, %s, %(n)s, E'x', U&'y', B'01'", "SELECT $1::int, %s, %(n)s, ?, ?, ?"),
        ("postgresql", "SELECT $$a'b$$, $t$a $$ b$t$, 1_000, 0xff, a[1:2]", "SELECT ?, ?, ?, ?, a[?:?]"),
        ("postgresql", "SELECT d ? 'k', d->>'k', d @> '{}'", "SELECT d ? ?, d->>?, d @> ?"),
        ("postgresql", 'SELECT "a b", a1 FROM t2', 'SELECT "a b", a1 FROM t2'),
        ("postgresql", "SELECT 1 -- it's\r, 'v'", "SELECT ?  \r, ?"),
        ("mysql", "SELECT \"v\", `a`, 'w', 5--1 # it's\n, 'z'", "SELECT ?, `a`, ?, ?--?  \n, ?"),
        ("mysql", "SET @@a = ON, b = secret", "SET @@a = ?, ? = ?"),
        ("oracle.db", "SELECT q'[it's]', nq'!it's!', :n FROM dual", "SELECT ?, ?, :n FROM dual"),
        ("microsoft.sql_server", "SELECT N'v', $12.50, [a]]'b], \"v\"", "SELECT ?, $?, [a]]'b], ?"),
    ],
)
def test_literals_become_question_marks(system: str, sql: str, text: str) -> None:
    """Names and placeholders stay, literals and comments go, by each database's own rules."""
    assert read(sql, system).text == text


@pytest.mark.parametrize(
    ("system", "sql"),
    [
        ("postgresql", r"SELECT 'a\' , 'secret'"),
        ("mysql", r"SELECT 'a\'', secret"),
        ("postgresql", "SELECT 1 /* a /* b */ it's */, 'secret'"),
        ("mysql", "SELECT /*! it's '*/' */ 'secret'"),
        ("postgresql", "SELECT 5 %('secret')"),
        ("", "SELECT 1 # it's\n, 'secret'"),
        ("", "SELECT $a$ it's $a$ 'secret'"),
        ("", "SELECT '''it's ''' secret"),
    ],
)
def test_where_a_text_can_be_read_in_two_ways_reading_stops(system: str, sql: str) -> None:
    """Escaped quotes, nested comments and the like: the rest is left out."""
    clean = read(sql, system).text
    assert "secret" not in clean
    assert clean.endswith("…")


def _literals(system: str, value: str) -> list[str]:
    doubled = "'" + value.replace("'", "''") + "'"
    found = [doubled, "N" + doubled]
    if system in ("mysql", "mariadb", "sqlite"):
        found.append('"' + value.replace('"', '""') + '"')
    if system in ("mysql", "mariadb"):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        found += [f"'{escaped}'", f"_utf8'{escaped}'"]
    if system == "postgresql":
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        found.append(f"E'{escaped}'")
        if "$" not in value:
            found += [f"$${value}$$", f"$tag${value}$tag$"]
    if system == "oracle.db" and "]'" not in value:
        found.append(f"q'[{value}]'")
    return found


FRAMES = [
    "SELECT * FROM deal WHERE name = {}",
    "SELECT * FROM deal WHERE name LIKE {} AND a IN (1, {}, {}) ORDER BY a",
    "INSERT INTO deal (a, b) VALUES ({}, ?), ({}, 2)",
    "UPDATE deal SET a = {}, b={} WHERE c <> {}",
    "/* note */ SELECT coalesce(a, {}) -- rest\nFROM deal JOIN owner ON owner.a = {}",
    "CALL f({}, {})",
    "SET a = {}",
    "SELECT {}",
    "SELECT CASE WHEN a THEN {} ELSE {} END FROM deal WHERE {} = a",
]


@settings(max_examples=400, deadline=None)
@given(
    value=st.text(st.sampled_from("'\"`\\$-/*#;%()[]{}?:@ \n\réx"), max_size=12),
    system=st.sampled_from(["sqlite", "postgresql", "mysql", "mariadb", "oracle.db", "microsoft.sql_server"]),
    frame=st.sampled_from(FRAMES),
    place=st.integers(0, 12),
    style=st.integers(0, 9),
)
def test_no_literal_is_ever_told(value: str, system: str, frame: str, place: int, style: int) -> None:
    """A marker inside a hostile string literal, in every quoting style of the database, never comes out."""
    marker = "zqmarkerqz"
    literals = _literals(system, value[:place] + marker + value[place:])
    if system in ("oracle.db", "microsoft.sql_server"):
        frame = frame.replace("\n", " \n")
    known = read(frame.replace("{}", literals[style % len(literals)]), system)
    assert marker not in known.text
    assert marker not in known.summary
    assert marker not in known.operation.lower()
    assert not any(marker in table for table in known.tables)


@settings(max_examples=300, deadline=None)
@given(sql=st.text(), system=st.sampled_from(SYSTEMS))
def test_any_text_can_be_read(sql: str, system: str) -> None:
    """Whatever text: no error, all limits hold, and what comes out can be sent."""
    known = read(sql, system)
    assert len(known.text) <= 8192
    assert len(known.summary) <= 255
    assert len(known.tables) <= 6
    (known.text + known.summary + known.operation + "".join(known.tables)).encode()


@settings(max_examples=200, deadline=None)
@given(
    words=st.lists(
        st.sampled_from(
            ["SELECT", "FROM", "(", ")", ",", ".", ";", "WITH", "AS", "a", '"b"', "'c'", "INSERT", "INTO", "SET", "=",
             "UPDATE", "JOIN", "CREATE", "TABLE", "INDEX", "ON", "TO", "PRAGMA", "EXPLAIN", "DELETE", "1", "?", "[x]"]
        ),
        max_size=30,
    ),
    system=st.sampled_from(SYSTEMS),
)  # fmt: skip
def test_any_sequence_of_tokens_can_be_read(words: list[str], system: str) -> None:
    """Nonsense made of SQL's own words: no error, and the string is not told."""
    known = read(" ".join(words), system)
    assert "'c'" not in known.text


@pytest.fixture
def _no_collection() -> Iterator[None]:
    """Else a text that makes many tokens is blamed for a collection of all that the tests before have left."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collection")
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(
    "part",
    ["'", '"', "`", "''", "$$", "$a$", "/*", "--", "\\'", "(", "[", "{", "E'",
     "q'[", "1e", "%(", "a.", "a,", "#", ":", "''\"", "\n "],
)  # fmt: skip
def test_hostile_text_takes_linear_time(system: str, part: str) -> None:
    """A megabyte of anything is read in well under a second of the processor's time."""
    started = time.thread_time()
    read("SELECT " + part * (1_000_000 // len(part)), system)
    assert time.thread_time() - started < 0.5


@pytest.mark.usefixtures("_no_collection")
def test_random_noise_takes_linear_time() -> None:
    """The same for noise of all printable characters."""
    dice = random.Random(7)
    noise = "".join(dice.choices(string.printable, k=1_000_000))
    started = time.thread_time()
    for system in SYSTEMS:
        read(noise, system)
    assert time.thread_time() - started < 2


def test_long_statements_are_cut() -> None:
    """The text holds 8,192 characters and says that it was cut; the tables at its beginning are known."""
    known = read("SELECT " + ", ".join(f"column_{n}" for n in range(5000)) + " FROM deal", "sqlite")
    assert len(known.text) == 8192
    assert known.text.endswith("…")
    assert known.operation == "SELECT"


def test_summaries_are_cut_between_words() -> None:
    """At most 255 characters, as the conventions ask."""
    known = read("SELECT * FROM " + ", ".join(f"table_number_{n:03}" for n in range(40)))
    assert len(known.summary) <= 255
    assert all(len(word) in (6, 16) for word in known.summary.split())
    assert len(known.tables) == 6
