"""Methods replaced on their classes and listeners of SQLAlchemy's events, and how both are taken off."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from sqlalchemy import event


class Patches:
    """What was replaced."""

    def __init__(self) -> None:
        self._done: list[tuple[Any, str, Any, Any]] = []

    def wrap(self, owner: Any, name: str, around: Callable[[Any], Any]) -> None:
        """Replace a method by what `around` makes of it; nothing happens where there is no such class or method."""
        original = getattr(owner, name, None)
        if original is None:
            return
        ours = functools.wraps(original)(around(original))
        self._done.append((owner, name, owner.__dict__.get(name), ours))
        setattr(owner, name, ours)

    def remove(self) -> None:
        """Put back what is still ours; what others have wrapped since stays under theirs."""
        while self._done:
            owner, name, before, ours = self._done.pop()
            if owner.__dict__.get(name) is not ours:
                continue
            if before is None:  # it was inherited
                delattr(owner, name)
            else:
                setattr(owner, name, before)


def unlisten(target: Any, name: str, listener: Callable[..., Any]) -> None:
    """Listen no more to an event of SQLAlchemy's; nothing happens where somebody has cleared all listeners."""
    if event.contains(target, name, listener):
        event.remove(target, name, listener)
