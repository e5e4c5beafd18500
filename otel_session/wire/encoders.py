"""Processors that encode what ends and put the bytes into lanes.

A span of the SDK is encoded at once: no such object outlives its end. What is written the short way waits, as plain
data, for others of its kind, and a few dozen are encoded together: one after the other costs a third of each among
the application's own work, since all that is needed is at hand in the processor's caches.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from os import getpid
from typing import Any, NamedTuple, TypeAlias

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import TraceFlags

from otel_session._clock import monotonic
from otel_session._guard import report

from . import forks
from .lanes import Lane
from .logs import encode_log_record
from .origins import Origin, origin_of
from .spans import encode_span
from .workers import Worker

_SAMPLED = TraceFlags.SAMPLED
_BYTES_AROUND = 64
WAITING_MOST = 32
"""What is written the short way waits for so many of its kind at most; then `settle` is due."""
_MANY = 512
"""From here on who brings one more encodes some, too, whoever else is at it."""
_SETTLING_S = 1.0


class Branch(NamedTuple):
    """One way out: a lane, its worker, and what an item in that lane is made of.

    `item` gets the span or record, its origin and its bytes. None puts the bytes themselves into the lane. An item
    takes `around` bytes of memory beside its encoding.
    """

    lane: Lane
    worker: Worker
    item: Callable[[Any, Origin, bytes], Any] | None = None
    around: int = _BYTES_AROUND


_Group: TypeAlias = tuple[Origin, list[Any], list[int]]
"""Items of one origin, and their sizes in bytes."""


class Encoder:
    """Where what has ended goes.

    Attributes:
        branches: The ways out.
        looked_up: Whether one of them looks at what is encoded, beside its bytes.
        waiting: What is to be encoded: tuples of a function, an origin, and what that function needs. The function
            gets the tuple and `looked_up`; it gives what is looked at, or None, and the bytes.
    """

    def __init__(self) -> None:
        self.branches: tuple[Branch, ...] = ()
        self.looked_up = False
        self.after_fork()
        forks.renew(self)

    def after_fork(self) -> None:
        """Begin empty in a child: what waits is the parent's, and it encodes it."""
        self.waiting: deque[tuple[Any, ...]] = deque()
        # Taken again by its own thread when a signal or garbage collection comes in the middle of `settle`.
        self._settling = threading.RLock()
        self._ready: tuple[dict[int, _Group], ...] = tuple({} for _ in self.branches)

    def add(self, branch: Branch) -> None:
        """A further way out. The bytes are made once for all of them."""
        self.branches += (branch,)
        self._ready += ({},)
        self.looked_up = self.looked_up or branch.item is not None
        branch.lane.before_seal = self.settle

    def put(self, ended: Any, origin: Origin, body: bytes) -> None:
        """Queue what has ended, encoded, for each way out. `ended` is a span, a record, or a leaf's look-up data."""
        if getpid() != forks.pid:
            forks.notice()
        if self.waiting:
            self.settle()
        self._hand_on(ended, origin, body)

    def _hand_on(self, ended: Any, origin: Origin, body: bytes) -> None:
        for lane, _, item, around in self.branches:
            lane.put(origin, body if item is None else item(ended, origin, body), len(body) + around)

    def defer(self, ended: tuple[Any, ...]) -> None:
        """Have something encoded soon: see `waiting`."""
        if getpid() != forks.pid:
            forks.notice()
        waiting = self.waiting
        waiting.append(ended)
        number = len(waiting)
        if number == 1 or number >= WAITING_MOST:
            self.due(number)

    def due(self, number: int) -> None:
        """Called when the first one waits, and when enough do."""
        if number >= WAITING_MOST or any(branch.lane.closed for branch in self.branches):
            self.settle()
            return
        for branch in self.branches:
            branch.lane.announce()

    def settle(self, wait_s: float = 0.0) -> None:
        """Encode what waits, unless another thread is at it. Never raises.

        Args:
            wait_s: How long to wait for that thread.
        """
        if not self._settling.acquire(blocking=wait_s > 0, timeout=wait_s if wait_s > 0 else -1):
            if len(self.waiting) >= _MANY:
                self._help()
            return
        try:
            self._encode_all()
            for branch, ready in zip(self.branches, self._ready, strict=True):
                for key in list(ready):
                    group = ready.pop(key, None)
                    if group is not None:
                        branch.lane.put_all(*group)
        finally:
            self._settling.release()

    def _help(self) -> None:
        """Encode some beside the thread that is at it: many threads bring more than one can encode."""
        for _ in range(WAITING_MOST):
            try:
                one = self.waiting.popleft()
            except IndexError:
                return
            try:
                ended, body = one[0](one, self.looked_up)
                self._hand_on(ended, one[1], body)
            except Exception:
                report("Encoder.settle")

    def _encode_all(self) -> None:
        # Taken one by one, and kept in `_ready`: what a signal finds undone in the middle of it, its flush can do.
        waiting, looked_up = self.waiting, self.looked_up
        ways = [(ready, branch.item, branch.around) for branch, ready in zip(self.branches, self._ready, strict=True)]
        for _ in range(len(waiting)):
            try:
                one = waiting.popleft()
            except IndexError:
                return
            try:
                origin = one[1]
                ended, body = one[0](one, looked_up)
                for ready, item, around in ways:
                    group = ready.get(id(origin))
                    if group is None:
                        group = ready[id(origin)] = (origin, [], [])
                    group[1].append(body if item is None else item(ended, origin, body))
                    group[2].append(len(body) + around)
            except Exception:
                report("Encoder.settle")

    def shutdown(self) -> None:
        """Deliver what is left, within the patience that all share; what ends later is dropped and counted."""
        self.settle(_SETTLING_S)
        for branch in self.branches:
            branch.worker.close(branch.lane)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what is queued; whether that was done in time. False after the shutdown, as the SDK's own say."""
        until_s = monotonic() + timeout_millis / 1e3
        self.settle(min(_SETTLING_S, timeout_millis / 1e3))
        done = True
        for branch in self.branches:
            left_s = max(0.0, until_s - monotonic())
            done = not branch.lane.closed and branch.worker.flush(left_s) and done
        return done


class EncodingSpanProcessor(Encoder, SpanProcessor):
    """Encodes sampled spans as they end."""

    def on_end(self, span: ReadableSpan) -> None:
        """Costs about 5 µs; never raises."""
        try:
            context = span._context  # the public property is a call more
            if context is None or not context.trace_flags & _SAMPLED:
                return
            self.put(span, origin_of(span._resource, span._instrumentation_scope), encode_span(span))
        except Exception:
            report("EncodingSpanProcessor")


class EncodingLogProcessor(Encoder, LogRecordProcessor):
    """Encodes log records as they are emitted."""

    def on_emit(self, log_record: Any) -> None:
        """Costs about 6 µs; never raises."""
        try:
            origin = origin_of(log_record.resource, log_record.instrumentation_scope)
            self.put(log_record, origin, encode_log_record(log_record))
        except Exception:
            report("EncodingLogProcessor")
