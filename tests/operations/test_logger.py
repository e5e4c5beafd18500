"""The small logger."""

import logging

from otel_session import OperationLogger, get_logger
from tests.operations.conftest import Lines


def test_levels(lines: Lines) -> None:
    """Four methods, four levels, on the standard logger of that name, from the application's own place."""
    logging.getLogger("billing").setLevel(logging.DEBUG)
    log = get_logger("billing")
    for method in (log.debug, log.info, log.warning, log.error):
        method("create_invoice", "Made 5% %s")
    logging.getLogger("billing").setLevel(logging.NOTSET)
    assert [record.levelname for record in lines.records] == ["DEBUG", "INFO", "WARNING", "ERROR"]
    assert set(lines.messages) == {"Made 5% %s"}
    assert {(r.name, r.filename, r.funcName) for r in lines.records} == {("billing", "test_logger.py", "test_levels")}
    assert {vars(record)["operation"] for record in lines.records} == {"create_invoice"}


def test_keywords(lines: Lines) -> None:
    """Fields of feature B3 are themselves, anything else is metadata, and that is masked."""
    get_logger("billing").info(
        "create", "Created", duration_ms=12.3456, success=True, metadata={"a": 1}, client_id=7, password="hunter2"
    )
    assert lines.fields("Created") == {
        "operation": "create",
        "duration_ms": 12.35,
        "success": True,
        "metadata": {"a": 1, "client_id": 7, "password": "[redacted]"},
    }


def test_error(lines: Lines) -> None:
    """An exception is told by type, message and traceback, whether or not it is being handled."""
    try:
        raise ValueError("no such client")
    except ValueError as error:
        caught = error
    get_logger("billing").error("create", "Failed", error=caught)
    told = lines.fields("Failed")["error"]
    assert told["type"] == "ValueError"
    assert told["message"] == "no such client"
    assert "test_logger.py" in told["traceback"]


def test_odd_arguments(lines: Lines) -> None:
    """What is no exception, no mapping, no text is told all the same."""
    log = OperationLogger(logging.getLogger("billing"))
    log.error("create", "Failed", error="refused, password=hunter2", metadata=["a"])
    assert lines.fields("Failed") == {
        "operation": "create",
        "metadata": {"metadata": ["a"]},
        "error": {"message": "refused, password=[redacted]"},
    }
    log.info("create", 5)  # type: ignore[arg-type]
    assert lines.messages[-1] == "5"
