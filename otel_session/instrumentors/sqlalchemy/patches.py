"""Methods replaced on their classes and listeners of SQLAlchemy's events, and how both are taken off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from otel_session.instrumentors._base import Patches

__all__ = ["Patches", "unlisten"]


def unlisten(target: Any, name: str, listener: Callable[..., Any]) -> None:
    """Listen no more to an event of SQLAlchemy's; nothing happens where somebody has cleared all listeners."""
    if event.contains(target, name, listener):
        event.remove(target, name, listener)
