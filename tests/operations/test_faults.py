"""What goes wrong in telling never reaches the application (feature B9)."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

import otel_session
from otel_session import failures, get_logger, masking, perf, testing, track_operation
from otel_session.operations import _counts, _lines, _signals
from tests.operations.conftest import Lines


def _fails(*_: Any, **__: Any) -> Any:
    raise RuntimeError("injected")


PLACES = [
    (_signals.Signals, "__init__"),
    (_signals.Signals, "listens"),
    (_signals.Signals, "start"),
    (_signals.Signals, "finish"),
    (_counts.Counts, "add"),
    (_counts.Counts, "is_up_to_date"),
    (_signals, "_tell_error"),
    (_lines, "write"),
    (_lines, "error_fields"),
    (masking, "mask_mapping"),
    (masking, "flat_attributes"),
    (failures, "message"),
    (failures, "type_name"),
    (failures, "stacktrace"),
    (logging.Logger, "makeRecord"),
    (logging.Logger, "handle"),
    (logging.Logger, "isEnabledFor"),
]


@pytest.mark.parametrize(("owner", "name"), PLACES, ids=lambda place: getattr(place, "__name__", place))
def test_injected(
    owner: Any, name: str, telemetry: testing.Captured, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails, results, exceptions, ids and the context are as without us."""
    monkeypatch.setattr(owner, name, _fails)
    gone = KeyError("gone")

    @track_operation("rows")
    def rows() -> Iterator[int]:
        yield 1
        yield 2

    with track_operation("outer", metadata={"a": 1}) as operation, perf("outer"):
        operation.add_metadata(b=2)
        assert operation.correlation_id.startswith("req_")
        get_logger("app").error("outer", "no", error=gone, client=7)
        assert list(rows()) == [1, 2]
        with pytest.raises(KeyError) as caught, track_operation("inner"):
            raise gone
    assert caught.value is gone
    assert otel_session.get_correlation_id() is None
    monkeypatch.undo()
    assert len(telemetry.spans()) in (0, 2, 3)  # what was started has ended; 2 where the one with metadata could not be


class _Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class _HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_hostile_values(telemetry: testing.Captured, lines: Lines) -> None:
    """Objects that cannot be shown, recursive ones and errors without a text are told as far as they can be."""
    recursive: dict[str, Any] = {}
    recursive["self"] = recursive

    @track_operation("odd", metadata=lambda: {"x": _Hostile(), "y": recursive})
    def odd() -> None:
        with track_operation("inner") as operation:
            operation.add_metadata({"z": b"\xff", "\udcff": "\udcff", 7: object()})  # type: ignore[dict-item]
            operation.add_metadata(5)  # type: ignore[arg-type]
        raise _HostileError

    with pytest.raises(_HostileError):
        odd()
    assert lines.messages[0] == "odd_start"
    assert lines.messages[-1] == "odd_failed"
    assert [span.name for span in telemetry.spans()] == ["inner", "odd"]


def test_a_filter_that_fails(lines: Lines) -> None:
    """An application's own filter or record factory that raises costs the line and no more."""
    logger = logging.getLogger("broken")
    logger.addFilter(_fails)
    try:
        with track_operation("work", logger=logger), perf("work", logger=logger):
            get_logger("broken").info("work", "works")
    finally:
        logger.removeFilter(_fails)
    assert [message for message in lines.messages if message.startswith("work")] == []


def test_a_record_factory_with_our_fields(lines: Lines) -> None:
    """One that sets fields of these names already, which `extra=` would refuse, is no reason to fail."""
    before = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        record.operation = record.metadata = "theirs"
        return record

    logging.setLogRecordFactory(factory)
    try:
        with track_operation("work"):
            pass
    finally:
        logging.setLogRecordFactory(before)
    assert lines.fields("work_complete")["operation"] == "work"


def test_wrong_environment(monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    """A variable that cannot be used stops no operation."""
    monkeypatch.setenv("OTEL_SESSION_IDLE_S", "soon")
    with track_operation("work") as operation:
        operation.add_metadata(rows=1)
    assert [message for message in lines.messages if message.startswith("work")] == ["work_start", "work_complete"]
