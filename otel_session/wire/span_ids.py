"""Ids of spans, where the SDK would draw them: from a generator of our own.

The SDK's draws from the one generator that `random` has for everybody, so that an application that seeds it gets
other numbers whenever a span more is made.
"""

from __future__ import annotations

import os
import random
from typing import Any

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from . import forks

_own = random.Random()  # noqa: S311 - ids, no secrets


def draws_at_random(generator: Any) -> bool:
    """Whether ids may be drawn here instead: the SDK's own generator is in charge, not the application's."""
    return type(generator) is RandomIdGenerator


def new_span_id() -> int:
    """64 random bits, never 0. Safe from any thread."""
    return _own.getrandbits(64) or 1


def new_trace_id() -> int:
    """128 random bits, never 0. Safe from any thread."""
    return _own.getrandbits(128) or 1


def _draw_anew() -> None:
    """In a child process, which would draw what its parent draws."""
    _own.seed()


forks.when_untold(_draw_anew)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_draw_anew)
