"""Operations of generators: from the first `next()` to the end, current only while the generator itself runs."""

import asyncio
import contextlib
import contextvars
import gc
import sys
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator

import pytest

import otel_session
from otel_session import bound_session, testing, track_operation
from otel_session import context as here
from tests.operations.conftest import Lines


@track_operation("rows", metadata=lambda count: {"count": count})
def rows(count: int) -> Generator[int, str, str]:
    got = ""
    for number in range(count):
        got = yield number
    return got


@track_operation("late_rows")
async def late_rows(count: int) -> AsyncGenerator[int, str]:
    for number in range(count):
        await asyncio.sleep(0)
        yield number


def test_exhausted(lines: Lines) -> None:
    """Nothing is told before the first `next()`; exhaustion completes it."""
    made = rows(2)
    assert lines.messages == []
    assert next(made) == 0
    assert lines.messages == ["rows_start"]
    assert list(made) == [1]
    assert lines.messages == ["rows_start", "rows_complete"]
    assert lines.fields("rows_complete")["metadata"] == {"count": 2}


def test_values_go_both_ways() -> None:
    """`send`, `throw` and the value it returns pass as without the decorator."""

    @track_operation("talk")
    def talk() -> Generator[str, str, str]:
        try:
            got = yield "first"
        except ValueError as error:
            got = str(error)
        sent = yield got
        return f"end {sent}"

    made = talk()
    assert next(made) == "first"
    assert made.throw(ValueError("thrown")) == "thrown"
    with pytest.raises(StopIteration) as stopped:
        made.send("sent")
    assert stopped.value.value == "end sent"


def test_closed_early(lines: Lines) -> None:
    """`close()`, a `break` and garbage collection complete it, and the generator's own `finally` runs inside of it."""
    cleaned: list[str | None] = []

    @track_operation("rows")
    def careful() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append(otel_session.get_correlation_id())

    made = careful()
    next(made)
    made.close()
    for _ in careful():
        break
    gc.collect()
    assert lines.messages == ["rows_start", "rows_complete"] * 2
    assert None not in cleaned
    assert len(set(cleaned)) == 2
    assert {vars(r).get("success") for r in lines.records} == {None, True}


def test_never_started(lines: Lines) -> None:
    """A generator that is closed before its first `next()` was no operation."""
    rows(3).close()
    assert lines.messages == []


def test_failed(lines: Lines) -> None:
    """What it raises fails it and goes on, with one frame of ours for each `next()`."""

    @track_operation("rows")
    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        list(broken())
    assert lines.messages == ["rows_start", "rows_failed"]


def test_what_is_thrown_in_and_not_caught_fails_it(lines: Lines) -> None:
    """The same exception comes out again."""
    thrown = OSError("from outside")
    made = rows(2)
    next(made)
    with pytest.raises(OSError, match="from outside") as caught:
        made.throw(thrown)
    assert caught.value is thrown
    assert lines.messages == ["rows_start", "rows_failed"]


def test_not_current_outside_of_it(telemetry: testing.Captured) -> None:
    """Between two values nothing of the operation is current; inside it always is, whoever asks for the next value."""
    inside: list[str | None] = []

    @track_operation("rows")
    def watching() -> Iterator[int]:
        for number in range(3):
            inside.append(otel_session.get_correlation_id())
            yield number

    made, before = watching(), here.get_current()
    with bound_session("first", correlation_id="one"):
        next(made)
        assert otel_session.get_correlation_id() == "one"
    assert here.get_current() is before
    with bound_session("second", correlation_id="two"):
        next(made)
        assert otel_session.current_session() == "second"
    assert list(made) == [2]
    assert here.get_current() is before
    assert inside == ["one"] * 3
    (span,) = telemetry.spans()
    assert span.attributes is not None
    assert span.attributes["session.id"] == "first"


def test_an_operation_inside_that_is_open_across_a_yield(telemetry: testing.Captured) -> None:
    """It is current again when the generator goes on, nests under it, and is never the consumer's."""

    @track_operation("outer")
    def outer() -> Iterator[int]:
        with track_operation("inner"):
            yield 1
            with track_operation("innermost"):
                yield 2
        yield 3

    before = here.get_current()
    for _ in outer():
        assert here.get_current() is before
        with track_operation("consumer"):
            pass
    assert here.get_current() is before
    spans = {span.name: span for span in telemetry.spans() if span.name != "consumer"}
    assert spans["innermost"].parent.span_id == spans["inner"].context.span_id  # type: ignore[union-attr]
    assert spans["inner"].parent.span_id == spans["outer"].context.span_id  # type: ignore[union-attr]
    assert all(span.parent is None for span in telemetry.spans() if span.name == "consumer")


def test_interleaved_generators(lines: Lines) -> None:
    """Two that are consumed in turns keep their own ids."""
    for _ in zip(rows(3), rows(3), strict=True):
        pass
    starts = [i for i, message in zip(lines.correlation_ids, lines.messages, strict=True) if message == "rows_start"]
    ends = [i for i, message in zip(lines.correlation_ids, lines.messages, strict=True) if message == "rows_complete"]
    assert len(set(starts)) == 2
    assert set(starts) == set(ends)


def test_a_plain_generator_with_an_operation_open_across_a_yield(lines: Lines) -> None:
    """Closed late or inside another operation, it ends without an error and takes nobody else's operation away."""

    def plain() -> Iterator[int]:
        with track_operation("left_open"):
            yield 1

    made = plain()
    with track_operation("outer"):
        next(made)
    assert otel_session.get_correlation_id() is None
    with track_operation("later") as later:
        made.close()
        assert otel_session.get_correlation_id() == later.correlation_id
    assert otel_session.get_correlation_id() is None
    assert lines.messages[-2:] == ["left_open_complete", "later_complete"]


def test_context_manager_of_a_generator(lines: Lines) -> None:
    """Under `contextlib.contextmanager` the operation lasts as long as the block."""

    @contextlib.contextmanager
    @track_operation("transaction")
    def transaction() -> Iterator[int]:
        yield 7

    with transaction() as seven:
        assert seven == 7
        assert lines.messages == ["transaction_start"]
    assert lines.messages == ["transaction_start", "transaction_complete"]
    with pytest.raises(KeyError), transaction():
        raise KeyError
    assert lines.messages[-1] == "transaction_failed"


def test_async_generator(lines: Lines) -> None:
    """Exhausted, left early, failed and closed: as its synchronous sister."""

    async def work() -> list[int]:
        found = [number async for number in late_rows(3)]
        async with contextlib.aclosing(late_rows(3)) as some:
            async for _ in some:
                assert otel_session.get_correlation_id() is None
                break
        return found

    assert asyncio.run(work()) == [0, 1, 2]
    assert lines.messages == ["late_rows_start", "late_rows_complete"] * 2


def test_async_generator_values_go_both_ways(lines: Lines) -> None:
    """`asend` and `athrow` pass, and what is not caught fails it."""

    @track_operation("talk")
    async def talk() -> AsyncGenerator[str, str]:
        try:
            got = yield "first"
        except ValueError as error:
            got = str(error)
        yield got

    async def work() -> None:
        made = talk()
        assert await anext(made) == "first"
        assert await made.athrow(ValueError("thrown")) == "thrown"
        with pytest.raises(OSError, match="no"):
            await made.athrow(OSError("no"))
        made = talk()
        assert await anext(made) == "first"
        assert await made.asend("sent") == "sent"
        with pytest.raises(StopAsyncIteration):
            await anext(made)

    asyncio.run(work())
    assert lines.messages == ["talk_start", "talk_failed", "talk_start", "talk_complete"]


def test_async_generator_that_nobody_closes(lines: Lines, capfd: pytest.CaptureFixture[str]) -> None:
    """One that is dropped halfway is completed by the event loop, in another task, without a word."""

    async def work() -> None:
        async for _ in late_rows(3):
            break
        gc.collect()
        await asyncio.sleep(0.01)

    asyncio.run(work())
    assert lines.messages == ["late_rows_start", "late_rows_complete"]
    assert capfd.readouterr().err == ""


def test_async_generator_cancelled(lines: Lines) -> None:
    """A task that is cancelled while it waits for a value fails the operation by CancelledError."""

    @track_operation("wait")
    async def wait() -> AsyncIterator[int]:
        await asyncio.sleep(60)
        yield 1

    async def work() -> None:
        task = asyncio.ensure_future(anext(wait()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    assert lines.fields("wait_failed")["error"]["type"] == "asyncio.exceptions.CancelledError"


def test_coroutine_that_is_dropped(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never goes on ends as a generator that is closed, in whichever context it is collected."""
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    class Wait:
        def __await__(self) -> Iterator[None]:
            yield

    @track_operation("fetch")
    async def fetch() -> None:
        await Wait()

    made = fetch()
    context = here.get_current()
    contextvars.copy_context().run(made.send, None)
    assert here.get_current() is context
    del made
    gc.collect()
    assert lines.messages == ["fetch_start", "fetch_complete"]
    assert here.get_current() is context
    assert unraisable == []


class _Chunk:
    """Something whose end of life can be seen."""


def test_what_was_yielded_is_not_kept_alive() -> None:
    """Once its consumer has let go of a value it is gone, as without the decorator."""

    @track_operation("chunks")
    def chunks() -> Iterator[_Chunk]:
        yield _Chunk()
        yield _Chunk()

    made = chunks()
    seen = weakref.ref(next(made))
    assert seen() is None
    made.close()


def test_what_was_thrown_in_and_caught_is_nobodys_context() -> None:
    """An exception that a generator raises later has no other one as its context."""

    @track_operation("talk")
    def talk() -> Iterator[int]:
        try:
            yield 1
        except ValueError:
            pass
        raise KeyError("of its own")

    made = talk()
    next(made)
    with pytest.raises(KeyError) as caught:
        made.throw(ValueError("handled"))
    assert caught.value.__context__ is None
