"""Pool metrics on SQLAlchemy 1.4, 2.0 and 2.1, each in an environment of its own: the same numbers."""

import json
import pathlib
import subprocess

import pytest

from tests.environments import python_with
from tests.instrumentors.sqlalchemy.test_versions import ENVIRONMENTS

SCENARIO = pathlib.Path(__file__).with_name("pool_scenario.py")
# Used, idle, in the ledger.
QUEUE = {
    "new": [0, 0, 0],
    "out": [1, 0, 1],
    "back": [0, 1, 0],
    "detached": [0, 0, 0],
    "invalidated": [0, 0, 0],
    "softly": [1, 0, 1],
    "softly, back": [0, 1, 0],
    "forgotten": [0, 1, 0],
    "full": [2, 0, 2],
    "timeouts": [1],
    "disposed": [1, 0, 1],
    "limits": [[2], [1], [0], [0]],
}


@pytest.mark.parametrize("environment", ["1.4", "2.0", "2.1", "2.1 without greenlet"])
def test_the_same_numbers(environment: str, tmp_path: pathlib.Path) -> None:
    """Every pool class, and all that can happen to a connection."""
    words = [] if "without" in environment else ["async"]
    command = [str(python_with(*ENVIRONMENTS[environment])), "-I", str(SCENARIO), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["version"].startswith(environment[:3])

    assert found["late"] == [[1, 0, 1], [0, 1, 0]]
    created, waited, used = found["queue"].pop("times")
    assert waited == used == 8
    assert found["queue"] == QUEUE
    assert created >= 5
    assert found["others"] == {
        "NullPool": [[1, 0, 1], [0, 0, 0]],
        "StaticPool": [[1, 0, 1], [0, 1, 0]],
        "AssertionPool": [[1, 0, 1], [0, 1, 0]],
        "SingletonThreadPool": [[1, 0, 1], [0, 1, 0]],
        "shared": [[1, 0, 2], [1, 0, 1], [0, 1, 0]],
    }
    assert found["threads"][:2] == [1_200, 1_200]
    if words:
        assert found["async"] == [[1, 0, 1], [[1], "async"], [0, 1, 0]]
    assert done.stderr == ""
