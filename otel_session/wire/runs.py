"""One thread of a worker, and what it is woken and waited for by."""

from __future__ import annotations

import threading

from otel_session._clock import monotonic

_LOOK_S = 0.5


class Run:
    """See above.

    Made together, when the thread starts: gevent may have replaced threads and locks since the worker was made.
    """

    def __init__(self) -> None:
        self.get_ident = threading.get_ident
        self.bell = threading.Event()
        self.turn = threading.Condition()
        self.asked = self.answered = 0
        self.until_s = 0.0
        self.last = self.stop = False
        self.done = True
        self.thread: threading.Thread | None = None
        self._ringing = False

    def ring(self) -> None:
        """Wake the thread. A signal that comes in the middle of it does not wait for itself."""
        if not self._ringing:
            self._ringing = True
            self.bell.set()
            self._ringing = False

    def wait_if_replaced(self) -> None:
        """Stay when gevent has replaced threads since this one began: its end would be an error on the console."""
        while threading.get_ident is not self.get_ident:
            self.bell.clear()
            self.bell.wait()

    def ask(self, until_s: float, *, last: bool) -> bool | None:
        """Have all that is there handed over; None when that was not done in time."""
        with self.turn:
            self.asked += 1
            mine, self.until_s = self.asked, max(until_s, self.until_s)
            self.last = self.last or last
            self.ring()
            while self.answered < mine:
                left_s = until_s - monotonic()
                if left_s <= 0 or self.thread is None or not self.thread.is_alive():
                    return None
                self.turn.wait(min(left_s, _LOOK_S))
            return self.done
