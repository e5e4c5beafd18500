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
