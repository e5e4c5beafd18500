"""Regular expressions that are compiled when they are first used.

Compiling all of ours took 5 ms of every start, and most processes never meet a database's error or a remote's address.
"""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast


class _Pattern:
    """Stands for a pattern, and has its methods once one of them was asked for."""

    def __init__(self, pattern: str | bytes, flags: int) -> None:
        self._given: tuple[Any, int] = pattern, flags

    def __getattr__(self, name: str) -> Any:
        # Kept, so that the next use costs no more than that of a compiled pattern. Two threads may both get here.
        found = getattr(re.compile(*self._given), name)
        setattr(self, name, found)
        return found


def lazily(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """A regular expression with the methods and attributes of a compiled one."""
    return cast("re.Pattern[AnyStr]", _Pattern(pattern, flags))
