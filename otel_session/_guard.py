"""What keeps us from harming the application: our failures logged once per place, our calls kept apart from it."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from contextvars import copy_context
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


def apart(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call what may run while objects are collected, and may set a context variable (processors and exporters do).

    Before Python 3.12 a collection can begin in the middle of `ContextVar.set()`, and another `set()` in that same
    context then frees what the first is reading: the interpreter crashes (CPython's issue 148891). So there the call
    has a copy of the context.
    """
    if _COLLECTS_ANYWHERE:
        return copy_context().run(function, *args, **kwargs)
    return function(*args, **kwargs)


_COLLECTS_ANYWHERE = sys.version_info < (3, 12)


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
