"""A process that is told to end (SIGTERM) first hands over the telemetry it holds, then ends as it would have.

Servers with a handler of their own end normally, and the SDK's providers are shut down at exit. Without a handler,
as in `python app.py` or `flask run`, the signal ends Python at once and what is still in memory would be lost.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider

PATIENCE_S = 5.0
"""Longest time that the end of the process is put off."""


def flush_on_sigterm() -> None:
    """Watch for SIGTERM, if nobody does. A handler set later, such as a server's, takes over."""
    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _flush_and_end)
    except ValueError:  # not the main thread: signals cannot be handled from here
        return


def _flush_and_end(number: int, _frame: Any) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
    # In a thread: the one that was interrupted may hold a lock that flushing needs.
    flusher = threading.Thread(target=_flush, daemon=True)
    flusher.start()
    flusher.join(PATIENCE_S)
    os.kill(os.getpid(), number)


def _flush() -> None:
    for provider in (trace.get_tracer_provider(), get_logger_provider(), metrics.get_meter_provider()):
        try:
            provider.force_flush()  # type: ignore[union-attr]  # the SDK's have it, others' raise
        except Exception:  # the process ends, and nobody reads what is said here
            pass
