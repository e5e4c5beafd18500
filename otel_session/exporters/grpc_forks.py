"""A fork waits until no gRPC call is under way: in the middle of one gRPC leaves its own fork handling out.

The child then has a gRPC whose locks and threads are the parent's, and the parent may lose the answer it waits for.
"""

from __future__ import annotations

import os
import threading

_MOST_S = 0.5
"""A call that takes longer is not waited for: a far end that hangs must not hold the application's forks."""


class Calls:
    """The calls under way: `with calls:` around each one."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._under_way = 0
        self._forking = False

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._forking, _MOST_S)
            self._under_way += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._under_way = max(0, self._under_way - 1)  # of a call that a fork was in the middle of, in the child
            self._changed.notify_all()

    def before_fork(self) -> None:
        """Let no call begin, and wait for those under way."""
        self._changed.acquire()
        self._forking = True
        self._changed.wait_for(lambda: not self._under_way, _MOST_S)

    def after_fork_in_parent(self) -> None:
        """Let calls begin again."""
        self._forking = False
        self._changed.notify_all()
        self._changed.release()

    def after_fork_in_child(self) -> None:
        """There are none, and nobody holds the lock."""
        Calls.__init__(self)


def calls() -> Calls:
    """The process's own. To be asked for when gRPC is imported: what is registered last comes first before a fork."""
    global _calls
    if _calls is None:
        _calls = Calls()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=_calls.before_fork,
                after_in_parent=_calls.after_fork_in_parent,
                after_in_child=_calls.after_fork_in_child,
            )
    return _calls


_calls: Calls | None = None
