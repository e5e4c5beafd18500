"""SQLAlchemy 1.4, 2.0 and 2.1, and the official instrumentation beside ours, each in an environment of its own."""

import json
import pathlib
import subprocess
from typing import Any

import pytest

from tests.environments import python_with

SCENARIO = pathlib.Path(__file__).with_name("scenario.py")
OURS = "otel_session.sqlalchemy"
OFFICIAL = "opentelemetry.instrumentation.sqlalchemy"
ENVIRONMENTS = {
    "1.4.11": ("sqlalchemy==1.4.11", "greenlet", "aiosqlite"),
    "1.4": ("sqlalchemy==1.4.*", "greenlet", "aiosqlite"),
    "2.0": ("sqlalchemy==2.0.*", "greenlet", "aiosqlite"),
    "2.1": ("sqlalchemy==2.1.*", "greenlet", "aiosqlite"),
    "2.1 without greenlet": ("sqlalchemy==2.1.*",),
    "official": ("sqlalchemy==2.0.*", "greenlet", "aiosqlite", "opentelemetry-instrumentation-sqlalchemy"),
}
_AROUND = ("sqlalchemy.unit_of_work", "COMMIT", "ROLLBACK")
VERSIONS = ["1.4", "2.0", "2.1"]


def _run(environment: str, scenario: str, tmp_path: pathlib.Path) -> Any:
    command = [str(python_with(*ENVIRONMENTS[environment])), "-I", str(SCENARIO), scenario]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["version"].startswith("2.0" if environment == "official" else environment[:3])
    # Units of work, and their COMMIT and ROLLBACK, have tests of their own.
    if "spans" in found:
        found["spans"] = [span for span in found["spans"] if span["name"] not in _AROUND]
    return found


def _statements(found: Any) -> list[Any]:
    """All but the span of the one connection, which comes before them."""
    first, *others = found["spans"]
    assert (first["name"], first["scope"]) == ("connect", OURS)
    assert "connect" not in [span["name"] for span in others]
    return others


def _names(found: Any) -> list[str]:
    return [span["name"] for span in _statements(found)]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("made", ["before", "after"])
def test_the_core_works(version: str, made: str, tmp_path: pathlib.Path) -> None:
    """As many spans and durations as SQLite saw statements, ids on all, one event, nothing left afterwards."""
    found = _run(version, f"core:{made}", tmp_path)

    statements = _statements(found)
    batches = [s["attributes"].get("db.operation.batch.size", 1) for s in statements]
    assert sum(batches) == found["witnessed"] + 1  # one statement failed before SQLite traced it
    assert found["durations"] == len(statements)
    assert {s["scope"] for s in found["spans"]} == {OURS}
    assert all(s["attributes"]["session.id"] == "run-1" for s in found["spans"])
    assert found["events"] == ["db.client.operation.exception"]
    names = _names(found)
    for name in (
        "CREATE TABLE owner",
        "INSERT owner",
        "SELECT deal",
        "SAVEPOINT",
        "RELEASE",
        "UPDATE owner",
        "BATCH INSERT owner",
        "SELECT",
        "SELECT nowhere",
        "PRAGMA main.table_info",
    ):
        assert any(each.startswith(name) for each in names), name
    (failed,) = [s["attributes"] for s in found["spans"] if "error.type" in s["attributes"]]
    assert failed["error.type"] == "sqlite3.OperationalError"
    assert (found["left"], found["later"]) == ([], 0)


@pytest.mark.parametrize("version", VERSIONS)
def test_unsampled_statements_are_counted(version: str, tmp_path: pathlib.Path) -> None:
    """No span, all durations."""
    found = _run(version, "unsampled", tmp_path)
    assert found["spans"] == []
    assert found["durations"] > 10


@pytest.mark.parametrize("version", VERSIONS)
def test_async_engines_work(version: str, tmp_path: pathlib.Path) -> None:
    """One span a statement."""
    names = _names(_run(version, "async", tmp_path))
    assert [name for name in names if not name.startswith("PRAGMA")][-3:] == [
        "CREATE TABLE t",
        "BATCH INSERT t",
        "SELECT t",
    ]
    assert len(names) == len([n for n in names if n.startswith("PRAGMA")]) + 3


def test_greenlet_is_not_needed(tmp_path: pathlib.Path) -> None:
    """SQLAlchemy 2.1 comes without greenlet; sync engines work."""
    found = _run("2.1 without greenlet", "bare", tmp_path)
    assert "INSERT owner" in _names(found)


@pytest.mark.parametrize("order", ["first", "last", "named"])
def test_beside_the_official_instrumentation_no_span_is_doubled(order: str, tmp_path: pathlib.Path) -> None:
    """Theirs stay, with our ids; none is ours, nor is a duration counted for them; whichever comes first."""
    found = _run("official", f"official:{order}", tmp_path)

    assert {s["scope"] for s in found["spans"]} == {OFFICIAL}
    statements = [s for s in found["spans"] if s["name"] != "connect"]
    assert all(s["attributes"]["session.id"] == "run-1" for s in statements)
    assert len(statements) >= found["witnessed"] - 1
    assert found["durations"] == 0


def test_beside_the_official_instrumentation_of_another_engine(tmp_path: pathlib.Path) -> None:
    """Its `connect` spans are there for all engines: ours are not, and the statements are ours."""
    found = _run("official", "official:other", tmp_path)
    assert {s["scope"] for s in found["spans"] if s["name"] == "connect"} == {OFFICIAL}
    assert {s["scope"] for s in found["spans"] if s["name"] != "connect"} == {OURS}


def test_ours_are_back_when_the_official_instrumentation_is_taken_off(tmp_path: pathlib.Path) -> None:
    """Theirs off, ours on the same engine: one span a statement."""
    found = _run("official", "official:gone", tmp_path)
    assert {s["scope"] for s in found["spans"]} == {OURS}
