"""`track_operation` as a decorator: functions of every kind stay what they are."""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import otel_session
from otel_session import perf, track_operation
from tests.operations.conftest import Lines


class Clients:
    """Methods of all kinds, the decorator above and below the others."""

    @track_operation("create", metadata=lambda self, name, **_: {"name": name})
    def create(self, name: str, *, email: str) -> str:
        """Make one."""
        return f"{name} {email}"

    @classmethod
    @track_operation("below", metadata=lambda cls: {"class": cls.__name__})
    def below_classmethod(cls) -> type:
        return cls

    @track_operation("above")
    @classmethod
    def above_classmethod(cls) -> type:
        return cls

    @staticmethod
    @track_operation("below")
    def below_staticmethod(number: int) -> int:
        return number

    @track_operation("above")
    @staticmethod
    def above_staticmethod(number: int) -> int:
        return number

    @property
    @track_operation("property")
    def size(self) -> int:
        return 3

    @track_operation("called")
    def __call__(self) -> str:
        return "called"


def test_function_stays_itself() -> None:
    """Name, documentation and signature are the function's own."""
    assert Clients.create.__name__ == "create"
    assert Clients.create.__doc__ == "Make one."
    assert list(inspect.signature(Clients.create).parameters) == ["self", "name", "email"]


def test_methods(lines: Lines) -> None:
    """Methods, class methods, static methods, properties and `__call__` work on classes and objects."""
    clients = Clients()
    assert clients.create("Ada", email="a@b") == "Ada a@b"
    assert clients.below_classmethod() is clients.above_classmethod() is Clients
    assert Clients.below_classmethod() is Clients.above_classmethod() is Clients
    assert clients.below_staticmethod(5) == Clients.above_staticmethod(5) == 5
    assert clients.size == 3
    assert clients() == "called"
    assert [message for message in lines.messages if message.endswith("_start")] == [
        "create_start",
        *["below_start", "above_start"] * 3,
        "property_start",
        "called_start",
    ]


def test_metadata_from_the_arguments(lines: Lines) -> None:
    """The metadata function gets the call's arguments as they are, `self` and `cls` among them."""
    Clients().create("Ada", email="a@b")
    Clients.below_classmethod()
    assert lines.fields("create_start")["metadata"] == {"name": "Ada"}
    assert lines.fields("below_complete")["metadata"] == {"class": "Clients"}


def _raises(*_: Any, **__: Any) -> Any:
    raise RuntimeError("no metadata")


async def _late(*_: Any, **__: Any) -> dict[str, int]:
    return {"late": 1}


@pytest.mark.filterwarnings("ignore:coroutine '_late' was never awaited")
@pytest.mark.parametrize(
    "metadata",
    [_raises, lambda: {"too": "few arguments"}, lambda *_: ["no", "mapping"], lambda *_: None, _late],
    ids=["raises", "signature", "list", "none", "coroutine"],
)
def test_metadata_function_that_fails(lines: Lines, metadata: Any) -> None:
    """Whatever a metadata function does, the call is made, and told without metadata."""

    @track_operation("double", metadata=metadata)
    def double(number: int) -> int:
        return 2 * number

    assert double(4) == 8
    told = [line for line in lines.records if line.name == "otel_session.operations"]
    assert [line.getMessage() for line in told] == ["double_start", "double_complete"]
    assert all("metadata" not in vars(line) for line in told)


def test_metadata_function_of_a_block(lines: Lines) -> None:
    """In a `with` statement it is called without arguments."""
    with track_operation("block", metadata=lambda: {"now": 1}):
        pass
    assert lines.fields("block_start")["metadata"] == {"now": 1}


def test_coroutine(lines: Lines) -> None:
    """A coroutine function stays one; its operation lasts until it is done, not until it is made."""

    @track_operation("fetch", metadata=lambda url: {"url": url})
    async def fetch(url: str) -> str:
        await asyncio.sleep(0.01)
        return url

    assert inspect.iscoroutinefunction(fetch)
    made = fetch("/")
    assert lines.messages == []
    assert asyncio.run(_awaited(made)) == "/"
    assert lines.fields("fetch_complete")["duration_ms"] >= 9


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def test_concurrent_coroutines(lines: Lines) -> None:
    """Tasks side by side have operations and correlation ids of their own."""
    seen: dict[int, set[str | None]] = {}

    @track_operation("work")
    async def work(number: int) -> None:
        for _ in range(5):
            seen.setdefault(number, set()).add(otel_session.get_correlation_id())
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        await asyncio.gather(*[work(number) for number in range(20)])

    asyncio.run(all_of_them())
    assert all(len(ids) == 1 for ids in seen.values())
    assert len(set.union(*seen.values())) == 20
    assert len(lines.messages) == 40


def test_kinds_of_callables(lines: Lines) -> None:
    """Partial functions, built-in ones and objects with a `__call__`, asynchronous ones too, are taken as they are."""

    class Asynchronous:
        async def __call__(self, number: int) -> int:
            return number

    async def add(a: int, b: int) -> int:
        return a + b

    assert track_operation("built-in")(len)("abc") == 3
    called = track_operation("object")(Asynchronous())
    assert inspect.iscoroutinefunction(called)
    assert asyncio.run(called(3)) == 3
    partial = track_operation("partial")(functools.partial(add, 1))
    assert asyncio.run(partial(2)) == 3
    assert len(lines.messages) == 6


def test_decorators_on_top_of_each_other(lines: Lines) -> None:
    """Two operations, or an operation and a PERF line, around one function."""

    @perf("timed")
    @track_operation("outer")
    @track_operation("inner")
    def work() -> int:
        return 1

    assert work() == 1
    assert lines.messages[:4] == ["outer_start", "inner_start", "inner_complete", "outer_complete"]
    assert lines.messages[4].startswith("PERF: timed took ")
    assert {record.funcName for record in lines.records} == {"work"}


def test_recursion(lines: Lines) -> None:
    """A function that calls itself is an operation inside of itself."""

    @track_operation("fall")
    def fall(depth: int) -> int:
        return fall(depth - 1) + 1 if depth else 0

    assert fall(50) == 50
    assert len(lines.messages) == 102


def test_one_object_for_many_blocks(lines: Lines) -> None:
    """One `track_operation` object serves nested, repeated and concurrent blocks."""
    tracked = track_operation("block")

    async def block(number: int) -> None:
        with tracked as operation:
            await asyncio.sleep(0.01 * (number % 3))
            operation.add_metadata(number=number)

    async def all_of_them() -> None:
        await asyncio.gather(*[block(number) for number in range(9)])

    asyncio.run(all_of_them())
    with tracked, tracked:
        pass
    ends = [record for record in lines.records if record.getMessage() == "block_complete"]
    for record in ends[:9]:
        wanted_ms = 10 * (vars(record)["metadata"]["number"] % 3)
        assert vars(record)["duration_ms"] >= wanted_ms * 0.9
    assert len(ends) == 11


def test_generator_kinds() -> None:
    """Generator functions stay what frameworks take them for."""

    @track_operation("rows")
    def rows() -> Iterator[int]:
        yield 1

    @track_operation("rows")
    async def late_rows() -> AsyncIterator[int]:
        yield 1

    assert inspect.isgeneratorfunction(rows)
    assert inspect.isasyncgenfunction(late_rows)
