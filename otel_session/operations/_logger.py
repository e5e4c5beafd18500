"""The small logger: a line about an operation, with its metadata (feature B6)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from otel_session import masking
from otel_session._guard import report
from otel_session.operations import _lines, _metadata
from otel_session.operations._lines import logger_of, place_of_caller


class OperationLogger:
    """Lines about operations on the standard `logging`; its handlers, levels and formats are the application's.

    Each method takes the operation's name and the message. Of the keywords, `duration_ms` (a number), `success`,
    `metadata` (a mapping) and `error` (an exception, which is told by type, message and traceback) are the fields of
    those names; any other one becomes an entry of the metadata. The metadata is masked and cut. No method raises.

        log = get_logger("billing")
        log.info("create_invoice", "Invoice created", client_id=7)
        log.error("create_invoice", "No such client", error=error)

    Args:
        logger: A logger or the name of one.

    Raises:
        TypeError: It is neither.
    """

    def __init__(self, logger: logging.Logger | str) -> None:
        self._logger = logger_of(logger, "")

    def debug(self, operation: str, message: str, **fields: Any) -> None:
        """A line with the level DEBUG."""
        self._log(logging.DEBUG, operation, message, fields)

    def info(self, operation: str, message: str, **fields: Any) -> None:
        """A line with the level INFO."""
        self._log(logging.INFO, operation, message, fields)

    def warning(self, operation: str, message: str, **fields: Any) -> None:
        """A line with the level WARNING."""
        self._log(logging.WARNING, operation, message, fields)

    def error(self, operation: str, message: str, **fields: Any) -> None:
        """A line with the level ERROR; `error=` is the exception."""
        self._log(logging.ERROR, operation, message, fields)

    def _log(self, level: int, operation: str, message: str, given: dict[str, Any]) -> None:
        try:
            if self._logger.isEnabledFor(level):
                fields = {_lines.OPERATION: operation, **_fields(given)}
                _lines.write(self._logger, level, str(message), fields, place_of_caller(2))
        except Exception:
            report("OperationLogger")


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    metadata = given.pop(_lines.METADATA, None)
    error = given.pop(_lines.ERROR, None)
    for name in (_lines.DURATION_MS, _lines.SUCCESS):
        if given.get(name) is not None:
            fields[name] = given.pop(name)
    duration_ms = fields.get(_lines.DURATION_MS)
    if isinstance(duration_ms, float):
        fields[_lines.DURATION_MS] = round(duration_ms, 2)
    if isinstance(metadata, Mapping):
        given = {**metadata, **given}
    elif metadata is not None:
        given[_lines.METADATA] = metadata
    if given:
        fields[_lines.METADATA] = _metadata.masked(given)
    if isinstance(error, BaseException):
        fields[_lines.ERROR] = _lines.error_fields(error)
    elif error is not None:
        fields[_lines.ERROR] = {"message": masking.mask(error)}
    return fields


def get_logger(name: str) -> OperationLogger:
    """The small logger that writes to the standard logger of this name."""
    return OperationLogger(name)
