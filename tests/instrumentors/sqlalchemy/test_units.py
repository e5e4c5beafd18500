"""Units of work on SQLAlchemy 1.4, 2.0 and 2.1: every way to begin and end, the same spans and counts on each."""

import functools
import json
import pathlib
import subprocess
from typing import Any

import pytest

from tests.environments import python_with
from tests.instrumentors.sqlalchemy.test_versions import ENVIRONMENTS
from tests.instrumentors.sqlalchemy.unit_cases import CASES

SCENARIO = pathlib.Path(__file__).with_name("unit_scenario.py")
WITHOUT_GREENLET = "2.1 without greenlet"
SETUPS = [
    ("1.4.11", "short"),
    ("1.4", "short"),
    ("2.0", "short"),
    ("2.1", "short"),
    ("1.4", "real"),
    ("2.1", "real"),
    (WITHOUT_GREENLET, "short"),
]


@functools.cache
def _found(environment: str, mode: str) -> Any:
    command = [str(python_with(*ENVIRONMENTS[environment])), "-I", str(SCENARIO), mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def _check_counts(found: Any, expected: dict[str, Any]) -> None:
    made, ended, active = found["orm_sessions"]
    assert {
        "commits": found["commits"],
        "rollbacks": found["rollbacks"],
        "outcomes": found["outcomes"],
        "errors": found["errors"],
        "orm_sessions": made,
    } == expected
    assert (ended, active, found["open"]) == (made, 0, 0)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("environment", "mode"), SETUPS)
def test_spans_and_counts(environment: str, mode: str, case: str) -> None:
    """The same tree of spans, as leaves and as the SDK's, the same counts, and nothing that stays open."""
    if environment == WITHOUT_GREENLET and case == "asynchronous":
        pytest.skip("SQLAlchemy has no asyncio without greenlet")
    lines, counts = CASES[case]
    found = _found(environment, mode)["cases"][case]
    assert "\n".join(found["lines"]) == lines.strip()
    _check_counts(found, counts)


@pytest.mark.parametrize("case", CASES)
def test_unsampled_is_counted(case: str) -> None:
    """Without a sampled trace there is no span, and the counts are the same."""
    found = _found("2.0", "unsampled")["cases"][case]
    assert found["lines"] == []
    _check_counts(found, CASES[case][1])


_SPANS = ("request", "unit", "step", "later")
_ENDINGS = ("COMMIT", "ROLLBACK")


def _shape(lines: str) -> list[tuple[int, str]]:
    """Depths, and what is ours whoever makes the statements' spans."""
    shape = []
    for line in lines.strip().splitlines():
        word = line.split()[0]
        if word == "connect":
            continue
        ours = line.strip() if word in _SPANS else word if word in _ENDINGS else "statement"
        shape.append((line.index(word), ours))
    return shape


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("several_binds", "asynchronous")])
def test_the_official_statements_nest_in_ours(case: str) -> None:
    """Beside the official instrumentation its statements, one span each, are where ours would be; COMMIT is ours."""
    lines, counts = CASES[case]
    found = _found("official", "official")["cases"][case]
    assert _shape("\n".join(found["lines"])) == _shape(lines)
    _check_counts(found, counts)


@pytest.mark.parametrize(("environment", "mode"), [*SETUPS, ("official", "official"), ("2.0", "unsampled")])
def test_nothing_is_said_in_the_log(environment: str, mode: str) -> None:
    """No "Failed to detach context", no failure of ours."""
    assert _found(environment, mode)["log"] == []
