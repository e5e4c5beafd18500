"""One thread for each far end: takes from its lanes and hands over, so that no application thread ever waits."""

from __future__ import annotations

import contextvars
import threading
import time

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_session._clock import monotonic
from otel_session._guard import report

from . import forks
from .batches import Consumer
from .couriers import KNOWN_BAD_S, Courier
from .endings import Patience, is_end_of_process
from .lanes import Lane, Limits
from .metric_lanes import MetricLane
from .reports import Reporter
from .runs import Run

_JOIN_S = 0.2
_START_S = 1.0
_SHARE = 0.8  # of the patience: the rest is for the lanes that close later


class Worker:
    """Delivers the lanes of one far end. Starts its thread with the first item; safe over forks.

    Args:
        name: The far end, for log lines.
        linger_s: Longest time that an item waits for others to go with it.
        patience: Shared by all that deliver something at the end of the process.
    """

    def __init__(self, name: str, linger_s: float, patience: Patience | None = None) -> None:
        self.name = name
        self.couriers: list[Courier] = []
        self._linger_s = linger_s
        self._patience = patience or Patience(5.0)
        self._reporter = Reporter(name)
        self._reset()
        forks.renew(self)

    def _reset(self) -> None:
        self._starting = threading.Lock()
        self._run: Run | None = None

    def after_fork(self) -> None:
        """Begin anew in a child process: no thread, empty lanes. What was queued is the parent's to deliver."""
        self._reset()
        self._reporter.after_fork()
        for courier in self.couriers:
            courier.after_fork()

    def add_lane(self, what: str, consumer: Consumer, limits: Limits) -> Lane:
        """A further lane to this far end."""
        lane = Lane(what, limits, self._woken)
        self._add(lane, consumer)
        return lane

    def add_metric_lane(self, what: str, consumer: Consumer, limits: Limits) -> MetricLane:
        """The same for metrics."""
        lane = MetricLane(what, limits, self._woken)
        self._add(lane, consumer)
        return lane

    def _add(self, lane: Lane, consumer: Consumer) -> None:
        courier = Courier(lane, consumer)
        courier.changed = self._look
        self.couriers.append(courier)

    def _woken(self, full: bool) -> None:
        run = self._run
        if run is None or run.thread is None or not run.thread.is_alive():
            run = self._start()
        if full and run is not None:
            run.ring()

    def _start(self, wait_s: float = 0.0) -> Run | None:
        """Start the thread if there is none; None when that cannot be, as at the end of the interpreter.

        Args:
            wait_s: How long to wait for another thread that is at it. A `put` does not: garbage collection or a signal
                may come back here in the middle of it.
        """
        if not self._starting.acquire(blocking=wait_s > 0, timeout=wait_s if wait_s > 0 else -1):
            return self._run
        try:
            run = self._run
            if run is not None and run.thread is not None and run.thread.is_alive():
                return run
            run = Run()
            run.thread = threading.Thread(target=self._work, args=(run,), name=f"otel_session-{self.name}", daemon=True)
            self._run = run
            contextvars.Context().run(run.thread.start)  # nobody's: not of the request that happens to be first
        except RuntimeError:  # no more threads to be had
            self._run = run = None
        finally:
            self._starting.release()
        return run

    def _work(self, run: Run) -> None:
        while self._run is run:  # not when a fork or a new thread has taken its place
            try:
                with suppress_instrumentation():
                    self._turn(run)
            except BaseException:  # whatever it is: a thread that has died delivers nothing any more
                report("Worker")
                time.sleep(min(1.0, self._linger_s))
            if run.stop:
                run.wait_if_replaced()
                return

    def _turn(self, run: Run) -> None:
        if not any(courier.ready for courier in self.couriers) and run.asked == run.answered:
            run.bell.wait(self._linger_s)
        run.bell.clear()
        asked, last = run.asked, run.last
        done = False
        try:
            done = self._deliver(run.until_s if asked > run.answered else None, last=last)
        finally:
            with run.turn:
                run.answered, run.done, run.last = asked, done, run.last and run.asked > asked
                run.turn.notify_all()

    def _deliver(self, until_s: float | None, *, last: bool) -> bool:
        done = True
        for courier in self.couriers:
            done = courier.deliver(until_s, last=last) and done
            self._look()
        return done

    def _look(self) -> None:
        self._reporter.look(self.couriers)

    def flush(self, timeout_s: float, *, last: bool = False) -> bool:
        """Hand over all that is queued now.

        Args:
            timeout_s: How long that may take.
            last: The process ends: ask a far end once more that asked for a pause.

        Returns:
            Whether it was handed over in time.
        """
        forks.notice()
        if not any(courier.lane.held_count for courier in self.couriers):
            return True
        last = last or is_end_of_process()
        if last:
            timeout_s = self._hasten(timeout_s)
        until_s = monotonic() + timeout_s
        run = self._start(_START_S)
        if run is not None:
            return run.ask(until_s, last=last) or False
        with suppress_instrumentation():  # no thread: the caller does it
            return self._deliver(until_s, last=True)

    def _hasten(self, timeout_s: float) -> float:
        """Say that the process ends; how long that may be put off."""
        for courier in self.couriers:
            courier.consumer.hasten()
        known_bad = any(courier.failing is not None for courier in self.couriers)
        return min(timeout_s, KNOWN_BAD_S) if known_bad else timeout_s

    def close(self, lane: Lane) -> None:
        """Take nothing more in a lane, deliver what can be delivered in time, and give up the rest.

        The thread ends with the last lane.
        """
        if lane.closed:
            return
        forks.notice()
        lane.close()
        started_s = monotonic()
        if lane.held_count:
            self.flush(self._patience.left_s * _SHARE, last=True)
        lane.abandon()
        if all(courier.lane.closed for courier in self.couriers):
            self._end()
        self._patience.spend(monotonic() - started_s)

    def _end(self) -> None:
        for courier in self.couriers:
            courier.consumer.end()
        run = self._run
        if run is not None and run.thread is not None:
            run.stop = True
            run.ring()
            run.thread.join(_JOIN_S)
