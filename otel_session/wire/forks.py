"""A child process is noticed, also one that Python was not told of (uWSGI forks in C).

What must begin anew in a child registers here. Nothing in here takes a lock: a fork may leave any lock taken.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from otel_session import tallies
from otel_session._clock import monotonic
from otel_session._guard import report

_getpid = os.getpid
_WAIT_S = 2.0


class Renewed(Protocol):
    """What begins anew in a child process."""

    def after_fork(self) -> None:
        """Let go of what is the parent's: locks, threads, connections, what waits. Must not block."""


_renewed: list[weakref.ref[Any]] = []
_untold: list[Callable[[], None]] = [tallies.reset]
_noticed: dict[int, object] = {}
pid = _getpid()
"""The process that has begun; another one calls `notice()`."""
_hooked = False


def renew(what: Renewed) -> None:
    """Call `what.after_fork()` in each child, as long as it exists; in the order of registration."""
    _renewed[:] = [ref for ref in _renewed if ref() is not None]
    _renewed.append(weakref.ref(what))


def when_untold(callback: Callable[[], None]) -> None:
    """Call this in a child that Python was not told of: it does what others do in `os.register_at_fork` hooks."""
    _untold.append(callback)
    _hook_uwsgi()


def _hook_uwsgi() -> None:
    """Have uWSGI tell of its forks at once: a span that is the first to notice has the parent's instance id."""
    global _hooked
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is None or _hooked:
        return
    _hooked, before = True, getattr(uwsgi, "post_fork_hook", None)

    def hook() -> None:
        if before is not None:
            before()
        notice()

    uwsgi.post_fork_hook = hook


def notice() -> None:
    """Begin anew if this is a child that has not done so. One system call when it is not."""
    if _getpid() != pid:
        _begin(told=False)


def _begin(*, told: bool) -> None:
    this, mine = _getpid(), object()
    if _noticed.setdefault(this, mine) is not mine:  # another thread is at it
        _wait_for(this)
        return
    for callback in () if told else list(_untold):
        _guarded(callback)
    for ref in list(_renewed):
        what = ref()
        if what is not None:
            _guarded(what.after_fork)
    global pid
    pid = this


def _guarded(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        report("forks")


def _wait_for(this: int) -> None:
    deadline_s = monotonic() + _WAIT_S
    while pid != this and monotonic() < deadline_s:
        time.sleep(0.001)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _begin(told=True))
