"""What was made before us: engines, and connections that are out."""

from __future__ import annotations

import gc
from typing import Any, NamedTuple

from sqlalchemy.engine import Engine
from sqlalchemy.pool import base


class Existing(NamedTuple):
    """Engines, and what the application holds of connections that are out."""

    engines: list[Any]
    proxies: list[Any]


def existing() -> Existing:
    """What there is, as far as the garbage collector knows. Takes 0.04 s for a million objects, 0.003 s for nothing.

    It knows nothing of what was frozen (`gc.freeze`).
    """
    engine_kinds = _with_subclasses(Engine)
    proxy_kinds = _with_subclasses(getattr(base, "_ConnectionFairy", None))
    # An instance refers to its class. To ask for who does is one call into C, in which no other thread runs, and gives
    # few objects: while a list of all objects exists, a thread that is building a tuple fails, since something else
    # refers to it. `type()`, since proxies pretend to be of the class of what they stand for, or fail when asked.
    found = gc.get_referrers(*engine_kinds, *proxy_kinds)
    return Existing(
        [one for one in found if type(one) in engine_kinds], [one for one in found if type(one) in proxy_kinds]
    )


def _with_subclasses(kind: type | None) -> set[type]:
    found = set[type]()
    ahead = [kind] if kind is not None else []
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            ahead += type.__subclasses__(one)
    return found
