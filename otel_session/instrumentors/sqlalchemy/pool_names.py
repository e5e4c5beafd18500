"""What a pool is called in metrics: the same name as long as it lives, no other pool's, and nothing secret.

Semantic conventions: the name the application gave it, else server address, port and namespace.
"""

from __future__ import annotations

import weakref
from collections import deque
from heapq import heappop, heappush
from typing import Any

from otel_session import attributes as names
from otel_session.instrumentors.sqlalchemy.targets import target_of

_MAX_CHARS = 128


def base_name(pool: Any, engine: Any = None) -> str:
    """`pool_logging_name=`, else `server:port/database` of the engine's URL, else the kind of database.

    The user and the password of a URL are in neither.
    """
    given = getattr(pool, "_orig_logging_name", None)
    if given:
        return str(given)[:_MAX_CHARS]
    if engine is None:
        return str(getattr(getattr(pool, "_dialect", None), "name", None) or type(pool).__name__)[:_MAX_CHARS]
    target = target_of(engine)
    server = target.get(names.SERVER_ADDRESS, target[names.DB_SYSTEM_NAME])
    port = f":{target[names.SERVER_PORT]}" if names.SERVER_PORT in target else ""
    namespace = f"/{target[names.DB_NAMESPACE]}" if target.get(names.DB_NAMESPACE) else ""
    return f"{server}{port}{namespace}"[:_MAX_CHARS]


class Name:
    """A name that somebody has; it is free again when he is gone, and this with him."""

    __slots__ = ("__weakref__", "text")

    def __init__(self, text: str) -> None:
        self.text = text


class Names:
    """Gives out names that nobody has. Takes as long for the first as for the thousandth of a kind."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}
        self._free: dict[str, list[int]] = {}
        # The garbage collector gives back: it may do so while a name is taken, so nothing else happens then.
        self._returned: deque[tuple[str, int]] = deque()

    def take(self, base: str) -> Name:
        """The name itself, else with the lowest number that is free: `db:5432/shop`, `db:5432/shop#2`."""
        self._take_back()
        name, number = base, 0
        while number == 0 or name in self._taken:  # taken, if somebody has called his own pool `shop#2`
            free = self._free.get(base)
            number = heappop(free) if free else self._next.get(base, 1)
            if not free:
                self._next[base] = max(number + 1, self._next.get(base, 1))
            name = base if number == 1 else f"{base}#{number}"
        self._taken.add(name)
        taken = Name(name)
        weakref.finalize(taken, self._returned.append, (base, number)).atexit = False
        return taken

    def _take_back(self) -> None:
        while self._returned:
            base, number = self._returned.popleft()
            self._taken.discard(base if number == 1 else f"{base}#{number}")
            free = self._free.setdefault(base, [])
            heappush(free, number)
            if len(free) == self._next[base] - 1:  # nobody has a name of this kind
                del self._free[base], self._next[base]
