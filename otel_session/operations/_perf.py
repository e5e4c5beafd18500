"""`perf`: a `PERF:` line for what took time (feature A2)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from types import TracebackType
from typing import Any, TypeVar

from otel_session._guard import guarded
from otel_session.operations import _lines
from otel_session.operations._decorated import decorated
from otel_session.operations._lines import Place, logger_of, place_of_caller, place_of_function
from otel_session.operations._outcomes import name_of

F = TypeVar("F", bound=Callable[..., Any])
LOGGER = "otel_session.perf"


class perf:  # noqa: N801 - used as a function is
    """Log how long something took: `PERF: get_current_positions took 0.15s`, with the level INFO.

    A context manager, plain or `async`, and a decorator of functions, coroutines, generators and methods. It is a line
    and no more: for a span and metrics use `track_operation`.

        with perf("get_current_positions"):
            positions = load()

    Args:
        name: What it is called.
        logger: Where the line goes: a logger or the name of one; `otel_session.perf` by default.

    Raises:
        TypeError: The logger is of another kind, or it was used as a decorator without a name.
    """

    def __init__(self, name: str, *, logger: logging.Logger | str | None = None) -> None:
        if callable(name):
            raise TypeError('perf needs a name: @perf("get_current_positions").')
        self._name = name_of(name)
        self._logger = logger_of(logger, LOGGER)
        self._entered: list[_Timed] = []

    def __call__(self, function: F) -> F:
        """Decorate a function or method.

        Raises:
            TypeError: It is a class, a property, or nothing that can be called.
        """
        return decorated(function, "perf", self._timed_call)

    def _timed_call(self, function: Callable[..., Any]) -> Callable[..., _Timed]:
        place = place_of_function(function)
        return lambda _args, _kwargs: _Timed(self._name, self._logger, place)

    def __enter__(self) -> None:
        self._entered.append(_Timed(self._name, self._logger, place_of_caller(1)))

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._entered.pop().end(error)

    async def __aenter__(self) -> None:
        self._entered.append(_Timed(self._name, self._logger, place_of_caller(1)))

    async def __aexit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self._entered.pop().end(error)


class _Timed:
    """One run of it."""

    __slots__ = ("_began_s", "_logger", "_name", "_place")

    def __init__(self, name: str, logger: logging.Logger, place: Place) -> None:
        self._name, self._logger, self._place = name, logger, place
        self._began_s = perf_counter()

    def __enter__(self) -> None:
        """It has begun already."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    def turn(self) -> AbstractContextManager[None]:
        """A generator's run needs nothing."""
        return nullcontext()

    @guarded
    def end(self, error: BaseException | None) -> None:
        """Write the line, whether or not it ended by an exception. Never raises."""
        seconds = perf_counter() - self._began_s
        if self._logger.isEnabledFor(logging.INFO):
            fields = {_lines.OPERATION: self._name, _lines.DURATION_MS: round(seconds * 1_000, 2)}
            _lines.write(self._logger, logging.INFO, f"PERF: {self._name} took {seconds:.2f}s", fields, self._place)
