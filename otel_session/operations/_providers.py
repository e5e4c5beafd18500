"""Which providers operations tell their spans and durations to."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_session.operations._signals import Signals

_given: tuple[Any, Any] = (None, None)
_signals: Signals | None = None
_lock = threading.RLock()


def use_providers(tracer_provider: Any = None, meter_provider: Any = None) -> None:
    """Tell to these from now on; None stands for the global one."""
    global _given, _signals
    with _lock:
        before, _given, _signals = _signals, (tracer_provider, meter_provider), None
        if before is not None:
            before.counts.end()


def signals() -> Signals:
    """What tells spans and durations; made at the first operation, and anew when the global providers have changed."""
    found = _signals
    return found if found is not None and found.counts.is_up_to_date() else _make()


def _make() -> Signals:
    global _signals
    # With it come the encoders; a program without operations needs none.
    from otel_session.operations._signals import Signals

    with _lock:
        if _signals is None or not _signals.counts.is_up_to_date():
            if _signals is not None:
                _signals.counts.end()
            _signals = Signals(*_given)
        return _signals


def _in_child() -> None:
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held it
    if _signals is not None:
        _signals.counts.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
