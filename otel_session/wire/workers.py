"""One thread for each destination: takes from its lanes and hands over, so that no application thread ever waits."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref

from opentelemetry.instrumentation.utils import suppress_instrumentation

from .lanes import Consumer, Lane, Limits

_log = logging.getLogger("otel_session")
_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


class Worker:
    """Delivers the lanes of one destination. Starts its thread with the first item; safe over forks.

    Args:
        name: The destination, for log lines.
        linger_s: Longest time that an item waits for others to go with it.
    """

    def __init__(self, name: str, linger_s: float) -> None:
        self.name = name
        self.lanes: list[Lane] = []
        self._linger_s = linger_s
        self._stopped = False
        self._told: dict[str, str] = {}
        self._reset()
        _workers.add(self)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._full = threading.Event()
        self._idle = threading.Condition()
        self._asked = self._answered = 0
        self._thread: threading.Thread | None = None
        self._stopping = False

    def add_lane(self, what: str, consumer: Consumer, limits: Limits) -> Lane:
        """A further lane of this destination."""
        lane = Lane(what, consumer, limits, self._woken)
        self.lanes.append(lane)
        return lane

    def after_fork(self) -> None:
        """Begin anew in a child process: no thread, empty lanes. What was queued is the parent's to deliver."""
        self._reset()
        for lane in self.lanes:
            lane.after_fork()

    def check_process(self) -> None:
        """Notice a fork that Python was not told of (uWSGI's)."""
        if self._pid != os.getpid():
            self.after_fork()

    def _woken(self, full: bool) -> None:
        if self._thread is None and not self._stopped:
            self._start()
        if full:
            self._full.set()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"otel_session-{self.name}", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        pid = self._pid
        with suppress_instrumentation():
            while self._pid == pid:
                self._full.wait(self._linger_s)
                self._full.clear()
                asked, stopping = self._asked, self._stopping
                done = self._deliver(final=asked > self._answered or stopping)
                with self._idle:
                    self._answered = asked
                    self._empty = done
                    self._idle.notify_all()
                if stopping:
                    return

    def _deliver(self, *, final: bool) -> bool:
        done = True
        for lane in self.lanes:
            try:
                done = lane.deliver(final=final) and done
            except Exception:
                _log.warning("otel-session failed while delivering %s to %s", lane.what, self.name, exc_info=True)
                done = False
            self._tell(lane)
        return done

    def _tell(self, lane: Lane) -> None:
        """One line when delivery begins to fail, fails otherwise, or works again; never one for each failure."""
        before, now = self._told.get(lane.what, ""), lane.failing
        if before == now:
            return
        self._told[lane.what] = now
        if now:
            _log.warning("otel-session cannot deliver %s to %s: %s", lane.what, self.name, now)
        else:
            _log.warning(
                "otel-session delivers %s to %s again; dropped meanwhile: %d",
                lane.what,
                self.name,
                sum(lane.dropped.values()),
            )

    def flush(self, timeout_s: float) -> bool:
        """Hand over all that is queued now.

        Returns:
            Whether it was handed over in time.
        """
        self.check_process()
        if not any(lane.held_bytes for lane in self.lanes):
            return True
        if self._thread is None:
            self._start()
        deadline_s = time.monotonic() + timeout_s
        with self._idle:
            self._asked += 1
            mine = self._asked
            self._full.set()
            while self._answered < mine:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not self._idle.wait(left_s):
                    return False
            return self._empty

    def shutdown(self, timeout_s: float) -> bool:
        """Deliver what can be delivered in time, then end the thread; an attempt still under way is given up.

        Returns:
            Whether everything was delivered.
        """
        if self._stopped:
            return True
        done = self.flush(timeout_s)
        self._stopped = self._stopping = True
        self._full.set()
        if not done:
            for lane in self.lanes:
                lane.consumer.abort()
                lane.dropped["exit"] += lane.held_count
        thread = self._thread
        if thread is not None:
            thread.join(0.2 if not done else 1.0)
        return done


def _after_fork_in_child() -> None:
    for worker in list(_workers):
        worker.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
