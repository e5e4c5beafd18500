"""Tracebacks as they would be without us: Streamlit shows the user every frame that is not its own."""

from __future__ import annotations

import functools
import os
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

import otel_session
from otel_session._guard import guarded

P = ParamSpec("P")
R = TypeVar("R")

_OWN = os.path.dirname(os.path.abspath(otel_session.__file__)) + os.sep
_MOST_LINKS = 20


@guarded
def hide_own(error: BaseException | None) -> None:
    """Take our frames out of the tracebacks of an exception, of its causes and of their contexts."""
    for _ in range(_MOST_LINKS):
        if error is None:
            return
        error.__traceback__ = _without_own(error.__traceback__)
        error = error.__cause__ or error.__context__


def unseen(function: Callable[P, R]) -> Callable[P, R]:
    """Make a replacement of a function leave no frame in an exception that goes through it.

    Python 3.10 keeps them: there a bare `raise` brings the old traceback back.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            error.__traceback__ = _without_own(error.__traceback__)
            raise

    return call


def unseen_async(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """The same for a coroutine function."""

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        except BaseException as error:
            error.__traceback__ = _without_own(error.__traceback__)
            raise

    return call


def _without_own(found: TracebackType | None) -> TracebackType | None:
    kept = []
    while found is not None:
        if not found.tb_frame.f_code.co_filename.startswith(_OWN):
            kept.append(found)
        found = found.tb_next
    for each in reversed(kept):
        each.tb_next, found = found, each
    return found
