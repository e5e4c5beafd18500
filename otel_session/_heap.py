"""What start-up loads is put out of the garbage collector's sight.

The SDK, protobuf, the exporters and the frameworks that are instrumented are some 80,000 objects that live as long as
the process, and every full collection would go through them: 0.1 ms of each request in a small application.
`gc.freeze()` is Python's own means for this, used before the application's first line has run, so that nothing of it is
among them. While they are loaded, collections would find nothing and take a tenth of the time.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_APPLICATION = ("flask", "sqlalchemy", "streamlit", "django", "fastapi")
"""Who has loaded one of these has begun: what is there is left to the collector."""

_before_all = False
_wanted = False
_witness: list[object] | None = None
"""Made right after we have frozen what was there: the collector does not see it when somebody has frozen more since."""


def look() -> None:
    """Called when start-up begins: find out whether the application has begun already."""
    global _before_all
    _before_all = gc.isenabled() and not gc.get_freeze_count() and not any(n in sys.modules for n in _APPLICATION)


def comes_first() -> bool:
    """Whether this is start-up, before anything of the application: there is nothing of it to be looked for."""
    return _before_all


def begin() -> None:
    """Called when the pipeline is made: from now on what was loaded is frozen, unless the application has begun."""
    global _wanted
    _wanted = _before_all


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without collections while something of start-up is loaded.

    It is frozen right then: else the first collection after it would go through all of it, for 12 ms.
    """
    if not _before_all or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if _wanted:
            _freeze()
        gc.enable()


def set_aside() -> None:
    """Called when start-up ends: freeze what was loaded since, and no more. To look for garbage first takes 12 ms."""
    global _wanted, _before_all
    if _wanted and gc.isenabled():
        _freeze()
    _wanted = _before_all = False


def _freeze() -> None:
    global _witness
    gc.freeze()
    _witness = []


def set_aside_more() -> None:
    """Freeze what was loaded since, too: by a server that has not run anything of the application yet.

    Nothing happens where start-up froze nothing, or somebody else has frozen objects since.
    """
    if _witness is not None and gc.isenabled() and not hides_others():
        gc.collect(1)
        _freeze()


def hides_others() -> bool:
    """Whether objects that are not of start-up are frozen: `gc.get_objects()` does not tell of those."""
    if not gc.get_freeze_count():
        return False
    return _witness is None or not any(one is _witness for one in gc.get_objects())


def take_back() -> None:
    """Undo it, unless the application has frozen objects of its own since."""
    global _witness
    if _witness is not None and not hides_others():
        gc.unfreeze()
    _witness = None
