"""Processors that encode what ends, at once, and put the bytes into lanes: no span object outlives its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import TraceFlags

from .lanes import Lane
from .logs import encode_log_record
from .origins import Origin, origin_of
from .spans import encode_span
from .workers import Worker

_SAMPLED = TraceFlags.SAMPLED
EXIT_TIMEOUT_S = 5.0
"""Longest time that delivering what is left may put off the end of the process."""


class Branch(NamedTuple):
    """One way out: a lane, its worker, and what an item in that lane is made of.

    `item` gets the span or record, its origin and its bytes. None puts the bytes themselves into the lane.
    """

    lane: Lane
    worker: Worker
    item: Callable[[Any, Origin, bytes], Any] | None


class _Encoder:
    def __init__(self) -> None:
        self.branches: tuple[Branch, ...] = ()

    def add(self, branch: Branch) -> None:
        """A further way out. The bytes are made once for all of them."""
        self.branches += (branch,)

    def put(self, ended: Any, origin: Origin, body: bytes) -> None:
        """Queue what has ended, encoded, for each way out. `ended` is a span, a record, or a leaf's look-up data."""
        size = len(body) + 64  # what the lists and numbers around it take
        for lane, worker, item in self.branches:
            worker.check_process()
            lane.put(origin, body if item is None else item(ended, origin, body), size)

    def shutdown(self) -> None:
        """Deliver what is left, within `EXIT_TIMEOUT_S` for each destination."""
        for branch in self.branches:
            branch.worker.shutdown(EXIT_TIMEOUT_S)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what is queued; whether that was done in time."""
        done = True
        for branch in self.branches:
            done = branch.worker.flush(timeout_millis / 1e3) and done
        return done


class EncodingSpanProcessor(_Encoder, SpanProcessor):
    """Encodes sampled spans as they end."""

    def on_end(self, span: ReadableSpan) -> None:
        """Costs about 5 µs; never raises."""
        context = span._context  # the public property is a call more
        if context is None or not context.trace_flags & _SAMPLED:
            return
        self.put(span, origin_of(span._resource, span._instrumentation_scope), encode_span(span))


class EncodingLogProcessor(_Encoder, LogRecordProcessor):
    """Encodes log records as they are emitted."""

    def on_emit(self, log_record: Any) -> None:
        """Costs about 6 µs; never raises."""
        origin = origin_of(log_record.resource, log_record.instrumentation_scope)
        self.put(log_record, origin, encode_log_record(log_record))
