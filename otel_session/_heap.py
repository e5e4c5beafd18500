"""What start-up loaded is put out of the garbage collector's sight.

The SDK, protobuf and the exporters are some 25,000 objects that live as long as the process, and every full collection
would go through them: 0.04 ms of each request in a small application. `gc.freeze()` is Python's own means for this,
used before the application's first line has run, so that nothing of the application is among them.
"""

from __future__ import annotations

import gc
import sys

_APPLICATION = ("flask", "sqlalchemy", "streamlit", "django", "fastapi")
"""Who has loaded one of these has begun: its objects are left to the collector."""

_frozen = 0


def set_aside() -> None:
    """Freeze what is loaded; what has become garbage meanwhile is collected first, as far as it is young."""
    global _frozen
    if gc.isenabled() and not gc.get_freeze_count() and not any(name in sys.modules for name in _APPLICATION):
        gc.collect(1)
        gc.freeze()
        _frozen = gc.get_freeze_count()


def set_aside_more() -> None:
    """Freeze what has been loaded since, where start-up was frozen and nobody else has frozen anything.

    For a server that has loaded itself and has not begun with the application.
    """
    global _frozen
    if _frozen and gc.get_freeze_count() <= _frozen:
        gc.collect()
        gc.freeze()
        _frozen = gc.get_freeze_count()


def hides_others() -> bool:
    """Whether objects that are not of start-up are frozen: `gc.get_objects()` does not tell of those."""
    return gc.get_freeze_count() > _frozen


def take_back() -> None:
    """Undo it, unless the application has frozen objects of its own since."""
    global _frozen
    if 0 < gc.get_freeze_count() <= _frozen:
        gc.unfreeze()
    _frozen = 0
