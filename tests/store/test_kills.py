"""A writer that is killed loses nothing it has been told is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from otel_session.store import StoreReader
from tests.store.processes import run

# One process forks all writers, so that 50 of them need not start Python 50 times. Each goes on where the file ends.
_KILLS = """
    import json, os, random, select, signal, sqlite3, sys, time
    from otel_session.store import StoreReader, TelemetryStore
    from tests.store.rows import log, span, visit

    def write(path, first, pipe):
        with TelemetryStore(path, max_bytes=0, max_age_s=0) as store:
            for number in range(first, first + 100_000):
                store.write(spans=[*visit(f"noise-{number}", at_ns=number), span("numbered", at_ns=number)])
                os.write(pipe, b"%d\\n" % number)

    reports, kills, path = [], 0, sys.argv[1]
    first = 0
    for _ in range(50):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                write(path, first, writing)
            finally:
                os._exit(1)
        os.close(writing)
        select.select([reading], [], [], 10)
        time.sleep(random.uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
        kills += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        with os.fdopen(reading) as pipe:
            last = int(pipe.read().split()[-1])
        with StoreReader(path) as reader:
            numbers = [row.start_ns for row in reader.spans("numbered")]
        connection = sqlite3.connect(path)
        sound = connection.execute("PRAGMA integrity_check").fetchone()[0] if _ % 5 == 4 else "ok"
        connection.close()
        missing = sorted(set(range(last + 1)) - set(numbers))
        reports.append([sound, missing, len(numbers) - len(set(numbers)), numbers[-1] - last])
        first = numbers[-1] + 1
    print(json.dumps([kills, first, reports]))
"""


def test_fifty_kills(path: Path, ask: Callable[[str], Any]) -> None:
    """After each of 50 kills at random moments the file is sound, every record up to the last reported is there.

    A write in the making when the kill came is there whole or not at all: at most one number beyond the last report.
    """
    kills, written, reports = json.loads(run(_KILLS, path))
    assert kills == len(reports) == 50
    assert written >= 50
    for sound, missing, doubled, ahead in reports:
        assert (sound, missing, doubled) == ("ok", [], 0)
        assert ahead in (0, 1)
    assert ask("PRAGMA integrity_check") == "ok"
    with StoreReader(path) as reader:
        assert reader.counts()["spans"] == 101 * written


_KILLS_WHILE_PRUNING = """
    import os, random, select, signal, sys, time
    from otel_session.store import TelemetryStore
    from tests.store.rows import ago, log, metric, visit

    for _ in range(15):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                with TelemetryStore(sys.argv[1], max_bytes=1_000_000, max_age_s=0) as store:
                    for number in range(100_000):
                        now = ago(0)
                        rows = [row for n in range(3) for row in visit(f"{_}-{number}-{n}", at_ns=now)]
                        store.write(spans=rows, logs=[log(None, at_ns=now)], metrics=[metric(at_ns=now)])
                        os.write(writing, b".")
            finally:
                os._exit(1)
        os.close(writing)
        select.select([reading], [], [], 10)
        time.sleep(random.uniform(0.02, 0.12))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert len(os.read(reading, 100_000)) > 0
        os.close(reading)
"""


def test_kills_while_pruning(path: Path, ask: Callable[[str], Any]) -> None:
    """Kills of a writer that prunes too leave a sound file, summaries that count what is there, and no orphans."""
    run(_KILLS_WHILE_PRUNING, path)
    assert ask("PRAGMA integrity_check") == "ok"
    with StoreReader(path) as reader:
        for summary in reader.sessions(limit=10_000, confirmed_only=False):
            assert summary.spans == len(reader.spans(summary.session_id)) == 100
    rows = "(SELECT resource FROM spans UNION ALL SELECT resource FROM logs UNION ALL SELECT resource FROM metrics)"
    used = ask(f"SELECT count(*) FROM {rows}") + ask("SELECT count(*) FROM sessions")
    assert used == ask("SELECT uses FROM shared WHERE value = CAST('resource' AS BLOB)")
    known = "SELECT key FROM sessions UNION SELECT session FROM doomed UNION SELECT 0"
    assert ask(f"SELECT count(*) FROM spans WHERE session NOT IN ({known})") == 0
    assert ask("SELECT count(*) FROM traces WHERE key NOT IN (SELECT trace FROM spans)") == 0
