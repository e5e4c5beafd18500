"""Encoded batches into the local telemetry file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import SpanKind

from otel_session import attributes as names
from otel_session.exceptions import StoreError
from otel_session.exporters.local import LocalLogExporter, LocalSpanExporter
from otel_session.exporters.local_rows import ERROR_SEVERITY, log_row, span_row
from otel_session.exporters.local_store import say_failing, say_kept, shared_store
from otel_session.store.records import FLAG_CONFIRMED, FLAG_ERROR, FLAG_REQUEST, FLAG_STATEMENT, LogRow, SpanRow
from otel_session.wire import Origin
from otel_session.wire.batches import KEPT, Batch, Consumer, Outcome
from otel_session.wire.leaves import Leaf
from otel_session.wire.log_leaves import LogLeaf

AROUND_A_ROW = 400
"""Bytes of memory that a row takes beside its encoding."""


class LocalConsumer:
    """Writes each batch as one transaction. Items are rows."""

    def __init__(self, signal: str) -> None:
        self._signal = signal
        self.name = "the local store"
        self.kind = "otel_session_local"

    def consume(self, batch: Batch, timeout_s: float | None = None) -> Outcome:
        """Keep a batch; a disk that is full today may have room tomorrow."""
        rows = [row for _, items in batch.items for row in items]
        try:
            shared_store().write(**{self._signal: rows})
        except Exception as error:
            say_failing(self._signal, error)  # the one line for all signals; so the worker needs no reason
            can_wait = isinstance(error, StoreError)
            # What is no trouble of the file's is a row's: in halves of the batch the others are kept.
            return Outcome(False, can_wait, cause=type(error).__name__, too_large=not can_wait)
        say_kept(self._signal)
        return KEPT

    def watch(self, trouble: Callable[[Outcome], None]) -> None:
        """A transaction is one attempt: there is nothing to hear of in the middle of it."""

    def hasten(self) -> None:
        """A transaction is not repeated."""

    def end(self) -> None:
        """Nothing to close: the file is shared, and a transaction is short."""

    def after_fork(self) -> None:
        """The store notices forks itself."""


def _span_item(ended: Any, origin: Origin, body: bytes) -> SpanRow:
    if type(ended) is not Leaf:
        return span_row(ended, origin, body)
    name, kind, trace_id, span_id, parent, start_ns, end_ns, session_id, error, confirmed = ended
    flags = FLAG_ERROR if error else 0
    if kind is SpanKind.CLIENT:  # whatever of ours calls somebody is a statement
        if name not in names.DB_NO_STATEMENTS:
            flags |= FLAG_STATEMENT
    elif kind is SpanKind.SERVER:
        flags |= FLAG_REQUEST
    if confirmed:
        flags |= FLAG_CONFIRMED
    return SpanRow(
        session_id, trace_id, span_id, parent, start_ns, end_ns, name, flags, origin.resource, origin.scope, body
    )


def _log_item(ended: Any, origin: Origin, body: bytes) -> LogRow:
    if type(ended) is not LogLeaf:
        return log_row(ended, origin, body)
    session_id, span, time_ns, severity = ended
    trace_id, span_id = (
        (span.trace_id.to_bytes(16, "big"), span.span_id.to_bytes(8, "big")) if span.is_valid else (b"", b"")
    )
    flags = FLAG_ERROR if severity >= ERROR_SEVERITY else 0
    return LogRow(session_id, trace_id, span_id, time_ns, severity, "", flags, origin.resource, origin.scope, body)


def consumer_for(exporter: Any) -> tuple[Consumer, Any] | None:
    """A consumer that does a local exporter's work, and what makes its items; None for other exporters."""
    if isinstance(exporter, LocalSpanExporter):
        return LocalConsumer("spans"), _span_item
    if isinstance(exporter, LocalLogExporter):
        return LocalConsumer("logs"), _log_item
    return None
