"""`track_operation`: what the application does, by name, as lines, a span and a duration (features B4 and B5)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar

from otel_session.operations import _metadata
from otel_session.operations._decorated import decorated
from otel_session.operations._lines import logger_of, place_of_caller, place_of_function
from otel_session.operations._operation import Operation
from otel_session.operations._outcomes import name_of
from otel_session.operations._turns import Turn

F = TypeVar("F", bound=Callable[..., Any])
LOGGER = "otel_session.operations"


class track_operation:  # noqa: N801 - used as a function is
    """Tell of an operation: `create_client_start`, then `create_client_complete` or `create_client_failed`.

    As a context manager, plain or `async`, it gives the `Operation`; as a decorator it takes functions, coroutines,
    generators, async generators and methods of all kinds. The operation is a span, too, with the metadata as
    attributes, and is counted in `operation.duration` and `operation.errors`. A generator's operation lasts from its
    first `next()` until it is exhausted or closed, and is current only while the generator itself runs.

    What the code raises is told and goes on unchanged: as failed, with the level ERROR; with the level WARNING when it
    is asyncio's cancellation. A generator that is closed early, and `sys.exit(0)`, complete it.

        with track_operation("create_client", metadata={"source": "form"}) as operation:
            operation.add_metadata(client_id=save(client))

        @track_operation("create_client", metadata=lambda name, **_: {"name": name})
        def create_client(name, email): ...

    Args:
        name: What it is called; few different ones, since metrics are kept by name. At most 100 characters are used.
        metadata: What is told beside it, masked and cut; or a function that gives it: called with the decorated
            function's arguments, in a `with` statement without any. When it raises, there is no metadata.
        logger: Where the lines go: a logger or the name of one; `otel_session.operations` by default. The level of the
            first and the last line is INFO, of a failed one ERROR.

    Raises:
        TypeError: Metadata or logger are of another kind, or it was used as a decorator without a name.
    """

    def __init__(
        self,
        name: str,
        *,
        metadata: Mapping[str, Any] | Callable[..., Mapping[str, Any] | None] | None = None,
        logger: logging.Logger | str | None = None,
    ) -> None:
        if callable(name):
            raise TypeError('track_operation needs a name: @track_operation("create_client").')
        self._name = name_of(name)
        self._metadata = _metadata.checked(metadata)
        self._logger = logger_of(logger, LOGGER)
        self._entered: list[Operation] = []

    def __call__(self, function: F) -> F:
        """Decorate a function or method.

        Raises:
            TypeError: It is a class, a property, or nothing that can be called.
        """
        return decorated(function, "track_operation", self._tracked_call)

    def _tracked_call(self, function: Callable[..., Any]) -> Callable[..., _Tracked]:
        place = place_of_function(function)

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Tracked:
            told = _metadata.computed(self._metadata, args, kwargs, self._name)
            return _Tracked(Operation(self._name, told, self._logger, place))

        return begin

    def __enter__(self) -> Operation:
        return self._enter(2)

    def _enter(self, depth: int) -> Operation:
        told = _metadata.computed(self._metadata, (), {}, self._name)
        operation = Operation(self._name, told, self._logger, place_of_caller(depth))
        self._entered.append(operation)
        operation.enter()
        return operation

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        operation = self._take()
        operation.end(error)
        operation.leave()

    def _take(self) -> Operation:
        """The operation that ends: the innermost one here, where one object is used by several at a time."""
        for operation in reversed(self._entered[:]):
            if operation.is_current():
                self._entered.remove(operation)
                return operation
        return self._entered.pop()

    async def __aenter__(self) -> Operation:
        return self._enter(2)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


class _Tracked:
    """One call of a decorated function."""

    __slots__ = ("_operation",)

    def __init__(self, operation: Operation) -> None:
        self._operation = operation

    def __enter__(self) -> None:
        self._operation.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._operation.end(error)
        self._operation.leave()

    def turn(self) -> Turn:
        """Around each run of a generator."""
        return Turn(self._operation)

    def end(self, error: BaseException | None) -> None:
        """A generator is done."""
        self._operation.end(error)
