"""What could not be sent is said once a process for each kind of thing, never once a span."""

from __future__ import annotations

import logging

_logger = logging.getLogger(__name__)
_reported: set[str] = set()


def report_once(kind: str, name: object, error: Exception) -> None:
    """Log, the first time, that something is left out.

    Args:
        kind: What it is, in the reader's words: "telemetry attribute".
        name: Its name; of what is no text only the type is shown.
        error: Why it cannot be sent.
    """
    if kind in _reported:
        return
    _reported.add(kind)  # before the line is written, which may come back here as a log record
    shown = repr(name[:100]) if type(name) is str else type(name).__name__
    reason = str(error) if type(error) in (TypeError, ValueError) else type(error).__name__
    _logger.warning("A %s (%s) cannot be sent and is left out: %s. Others like it go unmentioned.", kind, shown, reason)
