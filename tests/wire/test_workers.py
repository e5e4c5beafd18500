"""A worker's thread: it delivers in time, never dies, never spins, and begins anew in a child process."""

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from otel_session import context as here
from otel_session.wire import forks
from otel_session.wire.batches import KEPT, Batch, Outcome
from otel_session.wire.endings import Patience
from otel_session.wire.lanes import Lane, Limits
from otel_session.wire.origins import Origin
from otel_session.wire.workers import Worker

ORIGIN = Origin(b"resource", "", b"scope", "")
LINGER_S = 0.05


class Recorded:
    """A consumer that keeps what it gets, or does what it is told."""

    name, kind = "http://far:4318", "recorded"

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.calls = 0
        self.act: Callable[[], Outcome | None] = lambda: None
        self.ended = False
        self.forks = 0

    def consume(self, batch: Batch, timeout_s: float | None = None) -> Outcome:
        self.calls += 1
        outcome = self.act() or KEPT
        if outcome.kept:
            self.got += [item for _, items in batch.items for item in items]
        return outcome

    def watch(self, trouble: Callable[[Outcome], None]) -> None:
        pass

    def hasten(self) -> None:
        pass

    def end(self) -> None:
        self.ended = True

    def after_fork(self) -> None:
        self.forks += 1
        self.got = []


class Ours:
    def __init__(self, linger_s: float = LINGER_S, **limits: Any) -> None:
        self.patience = Patience(2.0)
        self.worker = Worker("http://far:4318", linger_s, self.patience)
        self.consumer = Recorded()
        self.limits = Limits(**limits)
        self.lane: Lane = self.worker.add_lane("spans", self.consumer, self.limits)

    def put(self, *items: Any) -> None:
        for item in items:
            self.lane.put(ORIGIN, item, 100)

    @property
    def thread(self) -> threading.Thread | None:
        run = self.worker._run
        return run.thread if run else None


@pytest.fixture
def ours() -> Iterator[Ours]:
    made = Ours()
    yield made
    made.consumer.act = lambda: None
    for courier in made.worker.couriers:
        made.worker.close(courier.lane)


def until(fact: Callable[[], object], within_s: float = 5.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_linger(ours: Ours) -> None:
    """There is no thread before the first item; an item waits for the linger time at most."""
    assert ours.thread is None
    ours.put("a")
    started_s = time.monotonic()
    until(lambda: ours.consumer.got == ["a"])
    assert time.monotonic() - started_s < LINGER_S + 0.2


def test_a_full_batch_does_not_linger() -> None:
    """A batch that is full goes at once."""
    ours = Ours(linger_s=30, batch_bytes=1_000)
    ours.put(*range(30))
    until(lambda: len(ours.consumer.got) >= 20, 2)
    assert ours.worker.flush(2)
    assert ours.consumer.got == list(range(30))
    ours.worker.close(ours.lane)


def test_many_at_once(ours: Ours) -> None:
    """Of many threads that put first at once, one starts the thread, and nothing is lost."""
    threads = [threading.Thread(target=ours.put, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ours.worker.flush(2)
    assert sorted(ours.consumer.got) == list(range(50))
    assert sum(t.name == ours.thread.name for t in threading.enumerate()) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(1), KeyboardInterrupt()])
def test_a_consumer_that_raises(ours: Ours, error: BaseException) -> None:
    """What a consumer raises costs its batch at most: the thread goes on, and waits before it does."""

    def act() -> None:
        raise error

    ours.consumer.act = act
    ours.put("a")
    until(lambda: ours.consumer.calls)
    time.sleep(0.3)
    assert ours.consumer.calls < 10
    ours.consumer.act = lambda: None
    ours.put("b")
    until(lambda: "b" in ours.consumer.got)
    assert ours.lane.counts.dropped in ({"ValueError": 1}, {})


def test_a_dead_thread_is_replaced(ours: Ours) -> None:
    """Should the thread have ended all the same, the next item has a new one, which delivers what was there."""
    ours.put("a")
    until(lambda: ours.consumer.got)
    first = ours.worker._run
    ours.worker._run = None  # it leaves when it is not the worker's any more
    assert first is not None
    first.ring()
    until(lambda: not first.thread.is_alive())  # type: ignore[union-attr]
    ours.worker._run = first
    ours.put("b")
    until(lambda: ours.consumer.got == ["a", "b"])


def test_no_spinning(ours: Ours) -> None:
    """Neither nothing to do nor a far end that fails under load costs the thread more than a few turns."""
    ours.consumer.act = lambda: Outcome(False, True, cause="down", reason="it is down")
    ours.put("a")
    until(lambda: ours.consumer.calls)
    started_s = _cpu_s(ours)
    end_s = time.monotonic() + 1.0
    while time.monotonic() < end_s:
        ours.put(*range(10))
        time.sleep(0.002)
    assert ours.consumer.calls < 5
    assert _cpu_s(ours) - started_s < 0.1


def _cpu_s(ours: Ours) -> float:
    assert ours.thread is not None
    assert ours.thread.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(ours.thread.ident))


def test_flush(ours: Ours) -> None:
    """A flush is True when all is delivered, False when that takes longer, and then it is over in time."""
    assert ours.worker.flush(1)
    ours.put("a")
    assert ours.worker.flush(1)
    assert ours.consumer.got == ["a"]
    release = threading.Event()
    ours.consumer.act = lambda: release.wait(5) and None  # type: ignore[func-returns-value]
    ours.put("b")
    started_s = time.monotonic()
    assert not ours.worker.flush(0.2)
    assert 0.15 < time.monotonic() - started_s < 0.4
    assert not ours.worker.flush(0.05)  # what is on its way counts as not delivered
    release.set()
    assert ours.worker.flush(2)
    assert ours.consumer.got == ["a", "b"]


def test_flush_from_many_threads(ours: Ours) -> None:
    """Whoever flushes has what they put before delivered when they come back."""
    missing: list[int] = []

    def put_and_flush(number: int) -> None:
        ours.put(number)
        if not ours.worker.flush(5) or number not in ours.consumer.got:
            missing.append(number)

    threads = [threading.Thread(target=put_and_flush, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not missing


def test_close(ours: Ours) -> None:
    """Closing one lane leaves the others of its far end alone; with the last one the thread ends."""
    other_consumer = Recorded()
    other = ours.worker.add_lane("log records", other_consumer, ours.limits)
    ours.put("a")
    other.put(ORIGIN, "log", 100)
    ours.worker.close(ours.lane)
    assert ours.consumer.got == ["a"]
    ours.put("late")
    assert ours.lane.counts.dropped == {"already_shutdown": 1}
    other.put(ORIGIN, "log 2", 100)
    thread = ours.thread
    assert thread is not None
    assert thread.is_alive()
    ours.worker.close(other)
    assert other_consumer.got == ["log", "log 2"]
    assert ours.consumer.ended
    assert not thread.is_alive()
    assert ours.worker.flush(1)


def test_patience_is_shared() -> None:
    """Far ends that hang put the end off for the patience they share, not each for as long."""
    patience, release = Patience(0.6), threading.Event()
    made = [Ours() for _ in range(4)]
    for each in made:
        each.worker._patience = patience
        each.consumer.act = lambda: release.wait(10) and None  # type: ignore[func-returns-value]
        each.put("a")
    until(lambda: all(each.consumer.calls for each in made))
    started_s = time.monotonic()
    for each in made:
        each.worker.close(each.lane)
    assert time.monotonic() - started_s < 0.6 + 4 * 0.25  # and a look at each thread
    assert [each.lane.counts.dropped for each in made] == [{"shutdown_timeout": 1}] * 4
    release.set()


def test_nothing_of_ours_is_instrumented(ours: Ours) -> None:
    """The thread runs with instrumentation suppressed and belongs to nobody, whoever put the first item."""
    seen: list[tuple[bool, object]] = []
    ours.consumer.act = lambda: seen.append((is_instrumentation_enabled(), here.current()))  # type: ignore[func-returns-value]
    token = otel_context.attach(here.put(here.Identity(session_id="a" * 32, correlation_id="c")))
    try:
        ours.put("a")
        assert ours.worker.flush(2)
    finally:
        otel_context.detach(token)
    assert seen == [(False, None)]


def test_no_thread_to_be_had(ours: Ours, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, as at the interpreter's end, a put is a put and a flush delivers by itself."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        ours.put("a")
        assert ours.worker.flush(1)
        assert ours.consumer.got == ["a"]
    ours.put("b")
    assert ours.worker.flush(1)


def test_a_signal_in_the_middle(ours: Ours) -> None:
    """A signal's handler that ends spans, wherever it interrupts, does not wait for itself."""
    hits = [0]

    def handler(*_: object) -> None:
        hits[0] += 1
        ours.put(f"signal {hits[0]}")

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for number in range(20_000):
            ours.put(number)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert ours.worker.flush(5)
    assert hits[0] > 5
    assert len(ours.consumer.got) == 20_000 + hits[0]
    assert ours.lane.held_bytes == 0


def in_a_child(work: Callable[[], object], *, fork: Callable[[], int] = os.fork) -> str:
    """Do something in a child process; what it gives, as text."""
    reader, writer = os.pipe()
    pid = fork()
    if pid == 0:
        signal.alarm(10)  # a child that hangs is a failure, not a wait
        try:
            os.write(writer, repr(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answers:
        found = answers.read()
    os.waitpid(pid, 0)
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # 3.12: forking with threads is what is tested
@pytest.mark.parametrize("told", [True, False])
def test_fork(ours: Ours, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child begins empty with a thread of its own, also when Python was not told of it and locks were taken."""
    release = threading.Event()
    ours.consumer.act = lambda: release.wait(5) and None  # type: ignore[func-returns-value]
    ours.put("parent's")
    until(lambda: ours.consumer.calls)
    ours.put("parent's, too")

    def work() -> object:
        ours.consumer.act = lambda: None
        forks.notice()
        ours.put("child's")
        return ours.worker.flush(3), ours.consumer.got, ours.consumer.forks, ours.lane.counts.delivered

    hooks = forks._begin
    if not told:  # the hooks Python runs find nothing to do
        monkeypatch.setattr(forks, "_begin", lambda told: hooks(told=told) if not told else None)
    taken = threading.Thread(target=_hold_for, args=(ours.lane._lock, 0.3))
    taken.start()
    time.sleep(0.05)
    assert in_a_child(work) == '(True, ["child\'s"], 1, 1)'
    taken.join()
    release.set()
    assert ours.worker.flush(3)
    assert ours.consumer.got == ["parent's", "parent's, too"]
    assert ours.consumer.forks == 0


def _hold_for(lock: Any, seconds: float) -> None:
    with lock:
        time.sleep(seconds)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forks_in_a_storm() -> None:
    """Twenty forks while threads put and flush: no child hangs, none has anything of its parent's."""
    made, stop = Ours(), threading.Event()

    def storm() -> None:
        while not stop.is_set():
            made.put("parent's")

    threads = [threading.Thread(target=storm) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        found = {in_a_child(lambda: (made.put("child's"), made.worker.flush(5), made.consumer.got)) for _ in range(20)}
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert found == {'(None, True, ["child\'s"])'}
    made.worker.close(made.lane)


def test_a_worker_is_forgotten() -> None:
    """A worker that was closed and let go of is not kept for a fork to come."""
    before = len(forks._renewed)
    for _ in range(3):
        made = Ours()
        made.put("a")
        made.worker.close(made.lane)
    del made
    gc.collect()
    forks.renew(Ours().worker)
    assert len(forks._renewed) <= before + 2
