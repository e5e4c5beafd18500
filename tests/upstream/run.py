"""SQLAlchemy's own tests with our instrumentor and without: `python -m tests.upstream.run --version 2.1`.

Prints what the two runs have in common and what not; the exit code is 1 when there is a difference that is not known.
"""

import argparse
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

from tests.upstream.compare import Comparison
from tests.upstream.sources import VERSIONS, python_for, tests_of

HERE = pathlib.Path(__file__).resolve().parent
PARTS = ("test/base", "test/engine", "test/sql", "test/ext", "test/orm")
_TIMEOUT_S = 3600


@functools.cache
def report(
    python: pathlib.Path,
    folder: pathlib.Path,
    parts: tuple[str, ...],
    *switches: str,
    database: str = "sqlite",
) -> dict[str, Any]:
    """What the plug-in wrote after one run of some of the tests; each is run once in a process."""
    with tempfile.TemporaryDirectory() as scratch:
        written = pathlib.Path(scratch) / "report.json"
        options = ["-p", "plugin", "--report", str(written), *switches, "--db", database]
        quiet = ["-p", "no:cacheprovider", "-qq", "-r", "N", "--tb", "short", "--maxfail", "1000000"]
        done = subprocess.run(
            # Without the user's site, its conftest.py leaves `sys.path` alone, and the installed SQLAlchemy is tested.
            [str(python), "-s", "-m", "pytest", *options, *quiet, *parts],
            cwd=folder,
            env={**_environment(), "PYTHONPATH": str(HERE), "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
        if not written.exists():
            raise RuntimeError(f"{folder.name}: no report; pytest wrote\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return json.loads(written.read_text())  # type: ignore[no-any-return]


def compared(
    version: str, *parts: str, greenlet: bool = True, database: str = "sqlite", leaves: bool = False
) -> Comparison:
    """Run some of the tests twice."""
    python = python_for(version, greenlet=greenlet)
    folder = tests_of(python)
    without = report(python, folder, parts, database=database)
    ours = report(python, folder, parts, "--ours", *(["--leaves"] if leaves else []), database=database)
    return Comparison(without, ours)


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "PYTHON", "PYTEST_", "VIRTUAL_ENV"))}


def main() -> int:
    """Run what the command line names; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.upstream.run", description=__doc__)
    parser.add_argument("--version", choices=list(VERSIONS), default="2.1")
    parser.add_argument("--part", action="append", help="a folder or file of SQLAlchemy's, such as test/engine")
    parser.add_argument("--without-greenlet", action="store_true", help="in an environment that has none (2.1)")
    parser.add_argument("--db", default="sqlite", help="as SQLAlchemy's setup.cfg calls it: sqlite, aiosqlite")
    parser.add_argument("--leaves", action="store_true", help="ours as in production, without spans of the SDK's")
    parser.add_argument("--without", action="store_true", help="only without ours: which tests fail by themselves")
    asked = parser.parse_args()
    parts, greenlet = tuple(asked.part or PARTS), not asked.without_greenlet
    if asked.without:
        python = python_for(asked.version, greenlet=greenlet)
        alone = report(python, tests_of(python), parts, database=asked.db)
        print("\n".join(f"failed: {test}" for test, outcome in alone["outcomes"].items() if outcome == "failed"))
        print(f"{len(alone['outcomes'])} tests")
        return 0
    found = compared(asked.version, *parts, greenlet=greenlet, database=asked.db, leaves=asked.leaves)
    print(found.table())
    return 1 if found.wrong() else 0


if __name__ == "__main__":
    sys.exit(main())
