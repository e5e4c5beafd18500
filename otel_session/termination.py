"""A process that ends past Python's own end first hands over the telemetry it holds.

SIGTERM: servers with a handler of their own end normally, and the SDK's providers are shut down at exit. Without a
handler, as in `python app.py` or `flask run`, the signal ends Python at once and what is in memory would be lost.
Children of `multiprocessing` leave by `os._exit`, which runs no exit handlers either.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider

from otel_session._clock import monotonic
from otel_session.wire.endings import end_of_process

PATIENCE_S = 5.0
"""Longest time that the end of the process is put off."""
_on = False


def flush_on_sigterm() -> None:
    """Watch for SIGTERM, if nobody does, and for the end of `multiprocessing` children.

    A handler set later, such as a server's, takes over.
    """
    global _on
    if not _on and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_watch_child)
    _on = True
    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _flush_and_end)
    except ValueError:  # not the main thread: signals cannot be handled from here
        return


def _flush_and_end(number: int, _frame: Any) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
    flush()
    os.kill(os.getpid(), number)


class _Child:
    """Stands for this module in `multiprocessing`'s list, which keeps weak references."""


_child = _Child()


def _watch_child() -> None:
    util = sys.modules.get("multiprocessing.util")
    if util is not None:  # in a child of os.fork() alone, nobody runs what is registered
        util.register_after_fork(_child, lambda _: util.Finalize(None, flush, exitpriority=-100))


def flush() -> None:
    """Hand over what the global providers hold, for at most five seconds: the process ends. Never raises."""
    end_of_process()
    deadline_s = monotonic() + PATIENCE_S
    providers = (trace.get_tracer_provider(), get_logger_provider(), metrics.get_meter_provider())
    # In threads: the one that was interrupted may hold a lock that flushing needs.
    threads = [threading.Thread(target=_flush, args=(p,), daemon=True) for p in providers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline_s - monotonic()))


def _flush(provider: Any) -> None:
    try:
        provider.force_flush(int(PATIENCE_S * 1e3))
    except Exception:  # the process ends, and nobody reads what is said here
        pass
