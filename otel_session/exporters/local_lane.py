"""Encoded batches into the local telemetry file."""

from __future__ import annotations

from typing import Any

from otel_session.exporters.local import (
    LocalLogExporter,
    LocalSpanExporter,
    log_row,
    say_failing,
    say_kept,
    shared_store,
    span_row,
)
from otel_session.wire.lanes import KEPT, Batch, Consumer, Outcome


class LocalConsumer:
    """Writes each batch as one transaction. Items are rows."""

    def __init__(self, signal: str) -> None:
        self._signal = signal
        self.name = "the local store"

    def consume(self, batch: Batch) -> Outcome:
        """Keep a batch; a disk that is full today may have room tomorrow."""
        rows = [row for _, items in batch.items for row in items]
        try:
            shared_store().write(**{self._signal: rows})
        except Exception as error:
            say_failing(self._signal, error)  # the one line for all signals; so the worker needs no reason
            return Outcome(False, retry=True)
        say_kept(self._signal)
        return KEPT

    def abort(self) -> None:
        """A transaction is short: nothing is given up."""

    def after_fork(self) -> None:
        """The store notices forks itself."""


def consumer_for(exporter: Any) -> tuple[Consumer, Any] | None:
    """A consumer that does a local exporter's work, and what makes its items; None for other exporters."""
    if isinstance(exporter, LocalSpanExporter):
        return LocalConsumer("spans"), span_row
    if isinstance(exporter, LocalLogExporter):
        return LocalConsumer("logs"), log_row
    return None
