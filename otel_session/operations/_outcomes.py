"""How an operation ended, and what it is called."""

from __future__ import annotations

import asyncio
from typing import Any

from otel_session import attributes as names

_MAX_NAME_CHARS = 100


def outcome_of(error: BaseException | None) -> str:
    """`complete`, `failed` or `cancelled`: a generator that is closed and `sys.exit(0)` complete it."""
    if error is None or isinstance(error, GeneratorExit):
        return names.OPERATION_COMPLETE
    if isinstance(error, asyncio.CancelledError):
        return names.OPERATION_CANCELLED
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return names.OPERATION_COMPLETE
    return names.OPERATION_FAILED


def name_of(given: Any) -> str:
    """A name as it can be told: one line, at most 100 characters."""
    try:
        words = " ".join(str(given).encode("utf-8", "replace").decode().split())
    except Exception:
        words = ""
    return words[:_MAX_NAME_CHARS] or "operation"
