"""A decorated generator cannot be told from a plain one, whatever its consumer and its own code do."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import otel_session
from otel_session import context as here
from otel_session import perf, track_operation

# What the generator does when it runs on, and what its consumer does to it.
BODY = st.lists(st.sampled_from(["yield", "catch", "catch all", "raise", "return", "nested"]), min_size=1, max_size=4)
CALLS = st.lists(st.sampled_from(["next", "send", "throw", "exit", "close"]), min_size=1, max_size=5)
DECORATORS = [track_operation("talk", metadata=lambda *_: {"a": 1}), perf("talk")]


def talk(body: list[str], seen: list[Any]) -> Generator[Any, Any, Any]:
    for number, step in enumerate(body):
        if step == "raise":
            raise KeyError(number)
        if step == "return":
            return number
        try:
            if step == "nested":
                with track_operation("inner"):
                    seen.append((yield number))
            else:
                seen.append((yield number))
        except ValueError as error:
            if step == "yield":
                raise
            seen.append(str(error))
        except GeneratorExit:
            if step != "catch all":
                raise
            seen.append("exit")
            return "left"
    return "end"


async def talk_late(body: list[str], seen: list[Any]) -> AsyncGenerator[Any, Any]:
    for number, step in enumerate(body):
        await asyncio.sleep(0)
        if step == "raise":
            raise KeyError(number)
        if step == "return":
            return
        try:
            if step == "nested":
                async with track_operation("inner"):
                    seen.append((yield number))
            else:
                seen.append((yield number))
        except ValueError as error:
            if step == "yield":
                raise
            seen.append(str(error))
        except GeneratorExit:
            if step != "catch all":
                raise
            seen.append("exit")
            return


def _call(made: Any, call: str) -> Any:
    actions: dict[str, Callable[[], Any]] = {
        "next": lambda: next(made),
        "send": lambda: made.send("sent"),
        "throw": lambda: made.throw(ValueError("thrown")),
        "exit": lambda: made.throw(GeneratorExit()),
        "close": made.close,
    }
    return actions[call]()


def _outcome(error: BaseException) -> tuple[str, ...]:
    return type(error).__name__, *map(str, error.args), type(error.__context__).__name__


def _played(function: Any, body: list[str], calls: list[str]) -> list[Any]:
    seen: list[Any] = []
    made, before = function(body, seen), here.get_current()
    for call in calls:
        try:
            seen.append(_call(made, call))
        except BaseException as error:
            seen.append(_outcome(error))
        assert here.get_current() is before
    made.close()
    return seen


async def _played_late(function: Any, body: list[str], calls: list[str]) -> list[Any]:
    seen: list[Any] = []
    made, before = function(body, seen), here.get_current()
    for call in calls:
        actions: dict[str, Callable[[], Any]] = {
            "next": lambda: anext(made),
            "send": lambda: made.asend("sent"),
            "throw": lambda: made.athrow(ValueError("thrown")),
            "exit": lambda: made.athrow(GeneratorExit()),
            "close": made.aclose,
        }
        try:
            seen.append(await actions[call]())
        except BaseException as error:
            seen.append(_outcome(error))
    await made.aclose()
    assert here.get_current() is before
    return seen


@given(BODY, CALLS)
@settings(max_examples=800, deadline=None)
def test_generators(body: list[str], calls: list[str]) -> None:
    """Values, exceptions, their contexts and return values are the same; nothing is current for the consumer."""
    plain = [step.replace("nested", "yield") for step in body]
    wanted = _played(talk, plain, calls)
    for decorate in DECORATORS:
        assert _played(decorate(talk), plain, calls) == wanted
    _played(DECORATORS[0](talk), body, calls)
    assert otel_session.get_correlation_id() is None


@given(BODY, CALLS)
@settings(max_examples=200, deadline=None)
def test_async_generators(body: list[str], calls: list[str]) -> None:
    """The same of asynchronous ones."""
    plain = [step.replace("nested", "yield") for step in body]
    wanted = asyncio.run(_played_late(talk_late, plain, calls))
    for decorate in DECORATORS:
        assert asyncio.run(_played_late(decorate(talk_late), plain, calls)) == wanted
    asyncio.run(_played_late(DECORATORS[0](talk_late), body, calls))
    assert otel_session.get_correlation_id() is None
