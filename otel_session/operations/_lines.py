"""A log line of an operation: an ordinary record of the standard `logging`, with the fields of feature B3.

The record is made by hand: the place it names is the application's, and a record factory or a logger that has fields of
these names already does not refuse ours.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from otel_session import failures
from otel_session._guard import report

OPERATION = "operation"
DURATION_MS = "duration_ms"
SUCCESS = "success"
METADATA = "metadata"
ERROR = "error"


class Place(NamedTuple):
    """Where in the application's code a line comes from."""

    path: str
    line: int
    function: str


_NOWHERE = Place("(unknown file)", 0, "(unknown function)")


def place_of_caller(depth: int) -> Place:
    """Where a caller is at the moment; 0 is the function that asks."""
    try:
        frame = sys._getframe(depth + 1)
    except ValueError:
        return _NOWHERE
    return Place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def place_of_function(function: Callable[..., Any]) -> Place:
    """Where a function is defined."""
    code = getattr(function, "__code__", None)
    return _NOWHERE if code is None else Place(code.co_filename, code.co_firstlineno, code.co_name)


def write(logger: logging.Logger, level: int, message: str, fields: Mapping[str, Any], place: Place) -> None:
    """Hand a line to the logger, with its fields as attributes of the record. Never raises."""
    try:
        if not logger.isEnabledFor(level):
            return
        record = logger.makeRecord(
            logger.name, level, place.path, place.line, message, (), None, place.function, None, None
        )
        record.__dict__.update(fields)
        logger.handle(record)
    except Exception:
        report("an operation's log line")


def error_fields(error: BaseException) -> dict[str, str]:
    """Type, message and traceback of an exception, without SQL values. Never raises."""
    return {
        "type": failures.type_name(error),
        "message": failures.message(error),
        "traceback": failures.stacktrace(error),
    }


def logger_of(given: logging.Logger | str | None, default: str) -> logging.Logger:
    """The logger given, itself or by its name.

    Raises:
        TypeError: It is neither.
    """
    if given is None or isinstance(given, str):
        return logging.getLogger(given or default)
    if not isinstance(given, logging.Logger):
        raise TypeError(f"logger= is a {type(given).__name__}; expected a logging.Logger or the name of one.")
    return given
