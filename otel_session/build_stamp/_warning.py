"""Say what is wrong with a file or a variable once, however often it is read."""

from __future__ import annotations

import logging

_MAX_WARNINGS = 20
_log = logging.getLogger("otel_session")
_said: set[str] = set()


def warn_once(about: str, message: str, *values: object) -> None:
    """Log a warning, once for each file or variable, at most 20 in a process.

    Args:
        about: The file or variable; what is said of it a second time is dropped.
        message: Format of the line, as `logging` takes it.
        *values: What goes into the format.
    """
    if about not in _said and len(_said) < _MAX_WARNINGS:
        _said.add(about)
        _log.warning(message, *values)
