"""Processors that encode what ends, at once, and put the bytes into lanes: no span object outlives its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from os import getpid
from typing import Any, NamedTuple

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import TraceFlags

from otel_session._guard import report

from . import forks
from .lanes import Lane
from .logs import encode_log_record
from .origins import Origin, origin_of
from .spans import encode_span
from .workers import Worker

_SAMPLED = TraceFlags.SAMPLED
_BYTES_AROUND = 64


class Branch(NamedTuple):
    """One way out: a lane, its worker, and what an item in that lane is made of.

    `item` gets the span or record, its origin and its bytes. None puts the bytes themselves into the lane. An item
    takes `around` bytes of memory beside its encoding.
    """

    lane: Lane
    worker: Worker
    item: Callable[[Any, Origin, bytes], Any] | None = None
    around: int = _BYTES_AROUND


class _Encoder:
    def __init__(self) -> None:
        self.branches: tuple[Branch, ...] = ()

    def add(self, branch: Branch) -> None:
        """A further way out. The bytes are made once for all of them."""
        self.branches += (branch,)

    def put(self, ended: Any, origin: Origin, body: bytes) -> None:
        """Queue what has ended, encoded, for each way out. `ended` is a span, a record, or a leaf's look-up data."""
        if getpid() != forks.pid:
            forks.notice()
        for lane, _, item, around in self.branches:
            lane.put(origin, body if item is None else item(ended, origin, body), len(body) + around)

    def shutdown(self) -> None:
        """Deliver what is left, within the patience that all share; what ends later is dropped and counted."""
        for branch in self.branches:
            branch.worker.close(branch.lane)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what is queued; whether that was done in time. False after the shutdown, as the SDK's own say."""
        until_s = time.monotonic() + timeout_millis / 1e3
        done = True
        for branch in self.branches:
            left_s = max(0.0, until_s - time.monotonic())
            done = not branch.lane.closed and branch.worker.flush(left_s) and done
        return done


class EncodingSpanProcessor(_Encoder, SpanProcessor):
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


class EncodingLogProcessor(_Encoder, LogRecordProcessor):
    """Encodes log records as they are emitted."""

    def on_emit(self, log_record: Any) -> None:
        """Costs about 6 µs; never raises."""
        try:
            origin = origin_of(log_record.resource, log_record.instrumentation_scope)
            self.put(log_record, origin, encode_log_record(log_record))
        except Exception:
            report("EncodingLogProcessor")
