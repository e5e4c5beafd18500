"""Functions, coroutines and generators that are watched from their begin to their end.

The function that comes out is of the same kind as the one that went in: frameworks that look at it see no difference. A
traceback gets one frame more.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Watched(AbstractContextManager[None], Protocol):
    """One call: entered around a function or coroutine; `turn` around each run of a generator, then `end`."""

    def turn(self) -> AbstractContextManager[None]:
        """Around each run of a generator; the same object each time."""

    def end(self, error: BaseException | None) -> None:
        """A generator is done: by an exception, GeneratorExit when it is closed, or None."""


Begin = Callable[[tuple[Any, ...], dict[str, Any]], Watched]
"""A call begins, with these arguments. Never raises."""


def decorated(function: F, decorator: str, watch: Callable[[Callable[..., Any]], Begin]) -> F:
    """The function, watched.

    Args:
        function: A function of any kind, or a classmethod or staticmethod of one.
        decorator: What the decorator is called, for errors.
        watch: Gives what begins the calls of a function.

    Raises:
        TypeError: It is a class, a property, or nothing that can be called.
    """
    if isinstance(function, classmethod | staticmethod):
        return type(function)(decorated(function.__func__, decorator, watch))
    if isinstance(function, type) or not callable(function):
        raise TypeError(
            f"{decorator} cannot decorate {function!r:.100}; expected a function or a method "
            "(of a property decorate the function below @property)."
        )
    begin = watch(inspect.unwrap(function))
    return functools.wraps(function)(_kind_of(function)(function, begin))  # type: ignore[return-value]


def _kind_of(function: Callable[..., Any]) -> Callable[[Callable[..., Any], Begin], Callable[..., Any]]:
    known = inspect.isroutine(function) or isinstance(function, functools.partial)
    called: Any = function if known else type(function).__call__
    if inspect.isasyncgenfunction(called):
        return _async_generator
    if inspect.isgeneratorfunction(called):
        return _generator
    return _coroutine if inspect.iscoroutinefunction(called) else _plain


def _plain(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with begin(args, kwargs):
            return function(*args, **kwargs)

    return call


def _coroutine(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with begin(args, kwargs):
            return await function(*args, **kwargs)

    return call


# In both, what is yielded is taken out of a list: no frame of ours keeps it alive while its consumer has it. What is
# thrown in is handed on after its handler: no later exception gets it as its context.


def _generator(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        watched = begin(args, kwargs)
        turn = watched.turn()
        sent: Any = None
        thrown: BaseException | None = None
        try:
            with turn:
                inner = function(*args, **kwargs)
            while True:
                with turn:
                    values = [inner.send(sent) if thrown is None else inner.throw(thrown)]
                sent = thrown = None
                try:
                    sent = yield values.pop()
                except BaseException as error:  # GeneratorExit, too: the inner one ends as it would have
                    thrown = error
        except StopIteration as stop:
            watched.end(None)
            return stop.value
        except BaseException as error:
            watched.end(error)
            raise
        finally:
            thrown = None

    return call


def _async_generator(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        watched = begin(args, kwargs)
        turn = watched.turn()
        sent: Any = None
        thrown: BaseException | None = None
        try:
            with turn:
                inner = function(*args, **kwargs)
            while True:
                with turn:
                    values = [await (inner.asend(sent) if thrown is None else inner.athrow(thrown))]
                sent = thrown = None
                try:
                    sent = yield values.pop()
                except BaseException as error:
                    thrown = error
        except StopAsyncIteration:
            watched.end(None)
        except BaseException as error:
            watched.end(error)
            raise
        finally:
            thrown = None

    return call
