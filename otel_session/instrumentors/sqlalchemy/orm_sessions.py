"""Which ORM sessions there are, counted where they are made and where they end."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from otel_session._guard import apart, report
from otel_session.instrumentors.sqlalchemy.units import Unit


class OrmSessions:
    """Counts ORM sessions. A closed one that is used again counts as another one. Safe from any thread.

    Args:
        lost: Called with the unit of work of an ORM session that was collected.
        cut_off: Called with one whose end was not told: its ROLLBACK failed, mostly for a connection that is dead.

    Attributes:
        made: How many were created.
        ended: How many were closed, or collected without that.
        most: The most there were at a time.
        units: The units of work that are open, by the `id()` of their ORM session.
    """

    def __init__(self, lost: Callable[[Unit], None], cut_off: Callable[[Unit], None]) -> None:
        self._tell_lost, self._tell_cut_off = lost, cut_off
        self._here: dict[int, weakref.ref[Any]] = {}
        self.units: dict[int, Unit] = {}
        self._used: set[int] = set()
        self._lock = threading.RLock()  # taken again by its own thread when garbage collection ends an ORM session
        self.made = self.ended = self.most = 0
        _counting.add(self)

    @property
    def active(self) -> int:
        """How many there are now."""
        return len(self._here)

    def created(self, orm_session: Any) -> None:
        """Count one. Never raises."""
        try:
            key = id(orm_session)
            ref = weakref.ref(orm_session, lambda _: self._collected(key))
            with self._lock:
                self._here[key] = ref
                self.made += 1
                if len(self._here) > self.most:
                    self.most = len(self._here)
        except Exception:
            report("OrmSessions.created")

    def closed(self, orm_session: Any) -> None:
        """Count its end. Never raises."""
        with self._lock:
            self._used.discard(id(orm_session))
            if self._here.pop(id(orm_session), None) is not None:
                self.ended += 1
        unit = self.units.pop(id(orm_session), None)
        if unit is not None:
            self._tell_cut_off(unit)

    def begin(self, orm_session: Any, unit: Unit) -> bool:
        """Remember which unit of work it is in; gives whether it is its first."""
        key = id(orm_session)
        if key not in self._here:
            self.created(orm_session)
        before = self.units.get(key)
        self.units[key] = unit
        if before is not None:
            self._tell_cut_off(before)
        first = key not in self._used
        self._used.add(key)
        return first

    def _collected(self, key: int) -> None:
        try:
            with self._lock:
                self._used.discard(key)
                if self._here.pop(key, None) is not None:
                    self.ended += 1
            unit = self.units.pop(key, None)
            if unit is not None:
                apart(self._tell_lost, unit)
        except Exception:
            report("OrmSessions.collected")

    def forget_all(self) -> list[Unit]:
        """Count nothing that is here now; gives the units of work that are open."""
        units = list(self.units.values())
        self.units.clear()
        self._here.clear()
        self._used.clear()
        return units

    def begin_anew(self) -> None:
        """In a forked child: what is the parent's ends there."""
        self._lock = threading.RLock()
        self.made = self.ended = 0
        self.most = len(self._here)


_counting: weakref.WeakSet[OrmSessions] = weakref.WeakSet()


def _in_child() -> None:
    for counting in list(_counting):
        counting.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
