"""Our own failures are logged once per place and never reach the application."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("otel_session")
_reported: set[str] = set()
_MOST_REPORTS = 200


def report(place: str) -> None:
    """Log the exception being handled, once for each place, at most 200 places in a process.

    Never raises: a broken logging set-up must not turn a telemetry failure into the application's.
    """
    if place in _reported or len(_reported) >= _MOST_REPORTS:
        return
    _reported.add(place)
    try:
        _log.warning("otel-session failed in %s (logged once, the application is not affected)", place, exc_info=True)
    except Exception:
        pass


def guarded(function: Callable[P, R]) -> Callable[P, R | None]:
    """Make a function that returns None instead of raising; what it would have raised is reported once."""
    place = f"{function.__module__}.{function.__qualname__}"

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return function(*args, **kwargs)
        except Exception:
            report(place)
            return None

    return call
