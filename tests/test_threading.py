"""Helper threads belong to the user whose request started them, and nobody else's work does."""

import asyncio
import contextvars
import functools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel_context

import otel_session
from otel_session import bound_session, config, current_session, testing
from otel_session.config import Config
from otel_session.instrumentors.threading import ThreadingInstrumentor


@pytest.fixture
def on() -> Iterator[None]:
    """Threading instrumented, and nothing else."""
    config.activate(Config.load({}))
    ThreadingInstrumentor().instrument()
    yield
    ThreadingInstrumentor().uninstrument()
    config.activate(None)


def in_thread(make: Any) -> Any:
    """What a thread says that `make(note)` gives: its session, and the session that its baggage names."""
    seen: list[Any] = []
    thread = make(lambda: seen.append((current_session(), baggage.get_baggage("session.id"))))
    thread.start()
    thread.join(10)
    (found,) = seen
    return found


class _Subclass(threading.Thread):
    def __init__(self, note: Any) -> None:
        super().__init__()
        self.note = note

    def run(self) -> None:
        self.note()


def _assigned(note: Any) -> threading.Thread:
    thread = threading.Thread()
    thread.run = note  # type: ignore[method-assign]
    return thread


MAKERS = {
    "Thread": lambda note: threading.Thread(target=note),
    "partial": lambda note: threading.Thread(target=functools.partial(note)),
    "subclass": _Subclass,
    "Timer": lambda note: threading.Timer(0.01, note),
    "run assigned": _assigned,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_threads(on: None, kind: str) -> None:
    """Each kind of thread has the session, and the baggage, of who started it; outside of a session it has none."""
    with bound_session("visit-1"):
        assert in_thread(MAKERS[kind]) == ("visit-1", "visit-1")
    assert in_thread(MAKERS[kind]) == (None, None)


def test_thread_of_a_thread(on: None) -> None:
    """A helper's helper has the session too."""
    seen: list[Any] = []

    def outer() -> None:
        seen.append(in_thread(MAKERS["Thread"]))

    with bound_session("visit-1"):
        in_thread(lambda note: threading.Thread(target=lambda: (outer(), note())))
    assert seen == [("visit-1", "visit-1")]


def test_a_thread_is_as_it_was(on: None) -> None:
    """After the start nothing of ours is left on the thread, and its errors are its own."""
    ran: list[Any] = []
    with bound_session("visit-1"):
        thread = threading.Thread(target=lambda: ran.append(dict(threading.current_thread().__dict__)))
        own = _assigned(lambda: ran.append(threading.current_thread().__dict__["run"]))
        for each in (thread, own):
            each.start()
            each.join()
        with pytest.raises(RuntimeError, match="once"):
            thread.start()
    assert "run" not in ran[0]
    assert "run" not in thread.__dict__
    assert ran[1] is own.run


def test_a_thread_that_cannot_start(on: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no more threads, the thread object stays usable for a later start, in its own context."""
    thread = threading.Thread(target=lambda: None)

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    with bound_session("visit-1"), monkeypatch.context() as patched:
        name = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
        patched.setattr(threading, name, refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            thread.start()
    assert "run" not in thread.__dict__


def test_pool(on: None) -> None:
    """Work given to a pool has its giver's session, whoever made the pool's threads."""
    with ThreadPoolExecutor(1) as pool:
        with bound_session("visit-1"):
            assert pool.submit(current_session).result() == "visit-1"
        with bound_session("visit-2"):
            assert pool.submit(current_session).result() == "visit-2"
            assert list(pool.map(lambda _: current_session(), range(3))) == ["visit-2"] * 3
        assert pool.submit(current_session).result() is None


def test_a_pool_made_in_a_request_serves_others(on: None) -> None:
    """A pool's thread started by the first user's request does not count others' work as that user's."""
    pools: list[ThreadPoolExecutor] = []
    with bound_session("visit-1"):
        pools.append(ThreadPoolExecutor(1))
        assert pools[0].submit(current_session).result() == "visit-1"
    with pools[0] as pool:
        assert pool.submit(current_session).result() is None

        def raw() -> "Future[Any]":
            # As a library does that queues its own work, past `submit`.
            future: Future[Any] = Future()
            import concurrent.futures.thread as room

            task = room._WorkItem
            arguments = (future, current_session, (), {})
            try:
                item = task(*arguments)
            except TypeError:  # Python 3.14
                pytest.skip("work items are made otherwise here")
            pool._work_queue.put(item)
            return future

        assert raw().result(5) is None


def test_submit_keeps_its_manners(on: None) -> None:
    """Arguments, results, errors and names pass through `submit` unchanged."""

    def work(a: int, *, b: int) -> int:
        return a // b

    with ThreadPoolExecutor(1) as pool, bound_session("visit-1"):
        assert pool.submit(work, 6, b=3).result() == 2
        with pytest.raises(ZeroDivisionError):
            pool.submit(work, 6, b=0).result()
        with pytest.raises(TypeError):
            pool.submit()  # type: ignore[call-arg]
        assert pool.submit(functools.partial(work, 6), b=2).result() == 3


@pytest.mark.parametrize("patched", [True, False])
def test_asyncio(patched: bool) -> None:
    """`to_thread`, tasks and `run_in_executor` keep the session; the last one thanks to us."""

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        return [
            await asyncio.to_thread(current_session),
            await asyncio.create_task(_said_later()),
            await loop.run_in_executor(None, current_session),
        ]

    config.activate(Config.load({}))
    if patched:
        ThreadingInstrumentor().instrument()
    try:
        with bound_session("visit-1"):
            assert asyncio.run(main()) == ["visit-1", "visit-1", "visit-1" if patched else None]
    finally:
        ThreadingInstrumentor().uninstrument()
        config.activate(None)


async def _said_later() -> str | None:
    await asyncio.sleep(0)
    return current_session()


def test_copy_context(on: None) -> None:
    """A copied context run in a thread is that context's user, not the starter's."""
    with bound_session("visit-1"):
        copied = contextvars.copy_context()
    with bound_session("visit-2"):
        seen: list[Any] = []
        thread = threading.Thread(target=copied.run, args=(lambda: seen.append(current_session()),))
        thread.start()
        thread.join()
    assert seen == ["visit-1"]


def test_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that lives on is the user's for the idle time of a session, and nobody's afterwards."""
    config.activate(Config.load({}, idle_s=100))
    ThreadingInstrumentor().instrument()
    now = time.monotonic()
    go, asked, answers = threading.Event(), threading.Event(), []

    def work() -> None:
        for _ in range(2):
            go.wait(10)
            go.clear()
            answers.append(current_session())
            asked.set()

    def answer_at(seconds: float) -> Any:
        monkeypatch.setattr("otel_session.context.time.monotonic", lambda: now + seconds)
        go.set()
        asked.wait(10)
        asked.clear()
        return answers[-1]

    try:
        with bound_session("visit-1"):
            thread = threading.Thread(target=work)
            thread.start()
        assert answer_at(99) == "visit-1"
        assert answer_at(102) is None
        thread.join()
    finally:
        monkeypatch.undo()
        ThreadingInstrumentor().uninstrument()
        config.activate(None)


def _module(name: str, note: Any) -> Any:
    def target() -> None:
        note()

    target.__module__ = name
    return threading.Thread(target=target)


@pytest.mark.parametrize(
    ("module", "session"),
    [
        ("sqlalchemy.pool.impl", None),
        ("redis", None),
        ("logging.handlers", None),
        ("opentelemetry.sdk._shared_internal", None),
        ("redistribution.jobs", "visit-1"),
        ("kafkaesque", "visit-1"),
        ("shop.redis", "visit-1"),
        ("__main__", "visit-1"),
    ],
)
def test_threads_that_serve_everybody(on: None, module: str, session: str | None) -> None:
    """Threads of pools, drivers, listeners and exporters are nobody's; modules with like names are not mistaken."""
    with bound_session("visit-1"):
        assert in_thread(functools.partial(_module, module))[0] == session


def test_switched_off() -> None:
    """OTEL_SESSION_THREADS=off leaves `threading` alone."""
    before = threading.Thread.start, ThreadPoolExecutor.submit
    config.activate(Config.load({"OTEL_SESSION_THREADS": "off"}))
    ThreadingInstrumentor().instrument()
    try:
        assert (threading.Thread.start, ThreadPoolExecutor.submit) == before
        with bound_session("visit-1"):
            assert in_thread(MAKERS["Thread"]) == (None, None)
    finally:
        ThreadingInstrumentor().uninstrument()
        config.activate(None)


def test_uninstrument_restores() -> None:
    """Switched off, `threading` and `concurrent.futures` are what they were; twice on is once."""
    before = threading.Thread.start, ThreadPoolExecutor.submit
    with testing.captured() as telemetry:
        for _ in range(2):
            otel_session.instrument(**telemetry.providers)
            otel_session.instrument(**telemetry.providers)
            assert (threading.Thread.start, ThreadPoolExecutor.submit) != before
            otel_session.uninstrument()
            assert (threading.Thread.start, ThreadPoolExecutor.submit) == before


def test_span_of_a_helper_is_in_the_request(telemetry: testing.Captured) -> None:
    """A span made in a helper thread is a child of the span that was current at the start."""
    tracer = telemetry.providers["tracer_provider"].get_tracer("t")

    def work() -> None:
        with tracer.start_as_current_span("inner"):
            pass

    with bound_session("visit-1"), tracer.start_as_current_span("outer"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    (root,) = testing.tree(telemetry.spans())
    assert [child["name"] for child in root["children"]] == ["inner"]
    assert root["children"][0]["attributes"]["session.id"] == "visit-1"


def test_context_is_not_left_behind(on: None) -> None:
    """A pool's thread has no context of an earlier work item, also after one that failed."""
    with ThreadPoolExecutor(1) as pool:
        with bound_session("visit-1"), pytest.raises(ZeroDivisionError):
            pool.submit(lambda: 1 // 0).result()
        assert pool.submit(otel_context.get_current).result() == {}
