"""The lines of an operation: start, then complete or failed, with the fields of feature B3."""

import asyncio
import json
import logging
import pathlib
import re
import sys
from datetime import date

import pytest
from sqlalchemy.exc import IntegrityError

import otel_session
from otel_session import bound_session, track_operation
from tests.operations.conftest import Lines


def test_complete(lines: Lines) -> None:
    """A start line with the metadata, then a complete line with the duration in ms to two decimals."""
    with track_operation("create_client", metadata={"source": "form"}):
        pass
    assert lines.messages == ["create_client_start", "create_client_complete"]
    assert lines.fields("create_client_start") == {"operation": "create_client", "metadata": {"source": "form"}}
    complete = lines.fields("create_client_complete")
    duration_ms = complete.pop("duration_ms")
    assert complete == {"operation": "create_client", "success": True, "metadata": {"source": "form"}}
    assert 0 <= duration_ms < 1_000
    assert round(duration_ms, 2) == duration_ms
    assert {record.levelname for record in lines.records} == {"INFO"}
    assert {record.name for record in lines.records} == {"otel_session.operations"}


def test_failed(lines: Lines) -> None:
    """A failed line at ERROR with type, message and traceback; the very exception goes on."""
    raised = ValueError("no such client")
    with pytest.raises(ValueError, match="no such client") as caught, track_operation("create_client"):
        raise raised
    assert caught.value is raised
    assert lines.messages == ["create_client_start", "create_client_failed"]
    failed = lines.fields("create_client_failed")
    assert failed["success"] is False
    assert failed["error"]["type"] == "ValueError"
    assert failed["error"]["message"] == "no such client"
    assert failed["error"]["traceback"].startswith("Traceback (most recent call last):\n")
    assert "raise raised" in failed["error"]["traceback"]
    assert lines.record("create_client_failed").levelno == logging.ERROR


def test_traceback_of_a_with_statement_is_the_applications_own() -> None:
    """No frame of ours is in the exception that leaves a `with` statement, and one is when a function is decorated."""

    @track_operation("fails")
    def fails() -> None:
        raise KeyError

    def frames(error: BaseException) -> list[str]:
        at, found = error.__traceback__, []
        while at is not None:
            found.append(pathlib.Path(at.tb_frame.f_code.co_filename).name)
            at = at.tb_next
        return found

    with pytest.raises(KeyError) as in_with, track_operation("fails"):
        raise KeyError
    assert frames(in_with.value) == ["test_lines.py"]
    with pytest.raises(KeyError) as decorated:
        fails()
    assert frames(decorated.value) == ["test_lines.py", "_decorated.py", "test_lines.py"]


def test_an_error_keeps_its_sql_values_to_itself(lines: Lines) -> None:
    """Statement and parameters of a database error are in no line."""
    email = "ada" + "@example.com"  # a traceback shows source lines
    with pytest.raises(IntegrityError), track_operation("save"):
        raise IntegrityError("INSERT INTO users (email) VALUES (?)", (email,), Exception(email))
    assert email not in str(lines.fields("save_failed"))


def test_metadata_is_masked(lines: Lines) -> None:
    """Passwords and the like are masked at any depth in start and complete line."""
    with track_operation("log_in", metadata={"user": {"password": "hunter2"}}) as operation:
        operation.add_metadata(api_token="t0p")
    for message in lines.messages:
        assert "hunter2" not in str(lines.fields(message))
        assert "t0p" not in str(lines.fields(message))
    assert set(lines.fields("log_in_complete")["metadata"]) == {"user", "api_token"}


def test_metadata_added_meanwhile(lines: Lines) -> None:
    """What is added is in the last line; of a key given twice the later value counts."""
    with track_operation("import", metadata={"file": "a.csv", "rows": 0}) as operation:
        operation.add_metadata({"rows": 3}, skipped=1)
        operation.add_metadata({"rows": 4})
        assert operation.metadata == {"file": "a.csv", "rows": 4, "skipped": 1}
    assert lines.fields("import_start")["metadata"] == {"file": "a.csv", "rows": 0}
    assert lines.fields("import_complete")["metadata"] == {"file": "a.csv", "rows": 4, "skipped": 1}


def test_metadata_is_bounded() -> None:
    """A loop that adds ever new keys keeps a hundred of them."""
    with track_operation("import") as operation:
        for row in range(1_000):
            operation.add_metadata({f"row {row}": row})
        assert len(operation.metadata) == 100


def test_metadata_is_a_snapshot(lines: Lines) -> None:
    """What the application does to its own mapping afterwards changes no line."""
    given = {"rows": [1]}
    with track_operation("import", metadata=given):
        given["rows"].append(2)
    assert lines.fields("import_complete")["metadata"] == {"rows": [1]}


def test_nested(lines: Lines) -> None:
    """Operations inside of each other share the correlation id, and each has its own lines."""
    with track_operation("outer") as outer, track_operation("inner") as inner:
        assert inner.correlation_id == outer.correlation_id
    assert lines.messages == ["outer_start", "inner_start", "inner_complete", "outer_complete"]
    assert set(lines.correlation_ids) == {outer.correlation_id}


def test_a_failure_of_an_inner_one_is_told_by_each(lines: Lines) -> None:
    """What passes through two operations fails both; what is caught between them fails the inner one alone."""
    with pytest.raises(OSError), track_operation("outer"), track_operation("inner"):  # noqa: PT011 - the kind is enough
        raise OSError
    assert lines.messages == ["outer_start", "inner_start", "inner_failed", "outer_failed"]
    lines.records.clear()
    with track_operation("outer"):
        try:
            with track_operation("inner"):
                raise OSError
        except OSError:
            pass
    assert lines.messages == ["outer_start", "inner_start", "inner_failed", "outer_complete"]


def test_correlation_id_outside_of_any_request(lines: Lines) -> None:
    """There is one in the operation, the same in it and in its lines, and none afterwards."""
    with track_operation("nightly") as operation:
        assert operation.correlation_id.startswith("req_")
        assert otel_session.get_correlation_id() == operation.correlation_id
    assert otel_session.get_correlation_id() is None
    assert lines.correlation_ids == [operation.correlation_id] * 2


def test_correlation_id_of_what_is_around_it() -> None:
    """Inside a session, request or run its own correlation id is used, also when it changes meanwhile."""
    with bound_session("visit-1", correlation_id="mine-1"), track_operation("work") as operation:
        assert operation.correlation_id == "mine-1"
        otel_session.set_correlation_id("mine-2")
        assert operation.correlation_id == "mine-2"


def test_place(lines: Lines) -> None:
    """The lines name the place of the `with` statement, and of a decorated function."""

    @track_operation("decorated")
    def decorated() -> None: ...

    with track_operation("block"):
        pass
    decorated()
    assert {record.filename for record in lines.records} == {"test_lines.py"}
    assert lines.record("block_start").funcName == lines.record("block_complete").funcName == "test_place"
    assert lines.record("decorated_start").funcName == "decorated"
    assert lines.record("decorated_start").lineno > 100


def test_a_logger_of_choice(lines: Lines) -> None:
    """The lines go to the logger given, by name or itself, and follow its level."""
    mine = logging.getLogger("billing")
    with track_operation("one", logger="billing"), track_operation("two", logger=mine):
        pass
    assert {record.name for record in lines.records} == {"billing"}
    mine.setLevel(logging.ERROR)
    try:
        lines.records.clear()
        with pytest.raises(KeyError), track_operation("three", logger=mine):
            raise KeyError
        assert lines.messages == ["three_failed"]
    finally:
        mine.setLevel(logging.NOTSET)


@pytest.mark.parametrize("code", [None, 0])
def test_a_proper_exit_is_no_failure(lines: Lines, code: int | None) -> None:
    """`sys.exit()` completes the operation it is called in."""
    with pytest.raises(SystemExit), track_operation("command"):
        sys.exit(code)
    assert lines.messages == ["command_start", "command_complete"]


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt()])
def test_other_ends_of_the_process_are(lines: Lines, error: BaseException) -> None:
    """An exit with an error code, and Ctrl-C, fail it."""
    with pytest.raises(type(error)), track_operation("command"):
        raise error
    assert lines.fields("command_failed")["error"]["type"] == type(error).__name__


def test_cancelled(lines: Lines) -> None:
    """A task that is cancelled is told as failed by CancelledError, as a warning, and is cancelled."""

    async def work() -> None:
        async with track_operation("wait"):
            await asyncio.sleep(60)

    async def cancel() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(cancel())
    assert lines.fields("wait_failed")["error"]["type"] == "asyncio.exceptions.CancelledError"
    assert lines.record("wait_failed").levelno == logging.WARNING


@pytest.mark.parametrize(
    ("given", "told"),
    [("two\nlines", "two lines"), ("x" * 300, "x" * 100), ("", "operation"), (7, "7"), ("\udcff", "?")],
)
def test_odd_names(lines: Lines, given: str, told: str) -> None:
    """Whatever the name holds, the lines stay lines and the application runs."""
    with track_operation(given) as operation:
        assert operation.name == told
    assert lines.messages == [f"{told}_start", f"{told}_complete"]


def test_percent_signs(lines: Lines) -> None:
    """A name is text, not a format."""
    with track_operation("raise %s by 5%"):
        pass
    assert lines.messages[0] == "raise %s by 5%_start"


def test_set_up_mistakes_raise_at_once() -> None:
    """A decorator without a name, metadata of another kind, a logger of another kind, and what cannot be decorated."""
    with pytest.raises(TypeError, match=r"track_operation needs a name"):
        track_operation(print)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"metadata= is a list"):
        track_operation("x", metadata=["a"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"logger= is a int"):
        track_operation("x", logger=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"cannot decorate <class"):
        track_operation("x")(Lines)
    with pytest.raises(TypeError, match=r"below @property"):
        track_operation("x")(property(lambda _: 1))  # type: ignore[type-var]


def test_as_json(lines: Lines) -> None:
    """A JSON line has each field of feature B3 under its name, the duration with two decimals."""
    formatter = otel_session.JsonFormatter()
    with bound_session("visit-1", correlation_id="one"):
        with track_operation("create", metadata={"source": "form"}) as operation:
            operation.add_metadata(when=date(2025, 12, 16))
        with pytest.raises(KeyError), track_operation("delete"):
            raise KeyError("gone")
        written = {r.getMessage(): formatter.format(r) for r in lines.records}
    complete = json.loads(written["create_complete"])
    assert complete["operation"] == "create"
    assert complete["success"] is True
    assert complete["metadata"] == {"source": "form", "when": "2025-12-16"}
    assert re.search(r'"duration_ms":\s?\d+\.\d\d[,}]', written["create_complete"])
    failed = json.loads(written["delete_failed"])
    assert failed["success"] is False
    assert {name: failed["error"][name] for name in ("type", "message")} == {"type": "KeyError", "message": "'gone'"}
    assert failed["error"]["traceback"].startswith("Traceback (most recent call last):\n")
    assert (failed["session_id"], failed["correlation_id"]) == ("visit-1", "one")
    assert "extra" not in failed
