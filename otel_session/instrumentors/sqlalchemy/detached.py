"""Detached instances: reads that no ORM session can serve are seen, explained and, if asked for, recovered.

Every attribute that is not there goes through one function of SQLAlchemy's, which is wrapped; attributes that are
there do not. Dynamic relationships have four of their own, and some of those answer without an error: as if there
were no rows. What others raise is seen in the error's constructor.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

from sqlalchemy import exc
from sqlalchemy.orm import Session, attributes, dynamic, loading, strategies
from sqlalchemy.orm.attributes import instance_state
from sqlalchemy.orm.base import ATTR_WAS_SET, LOAD_AGAINST_COMMITTED
from sqlalchemy.orm.exc import DetachedInstanceError, ObjectDeletedError

from otel_session import config
from otel_session._guard import guarded, report
from otel_session.instrumentors.sqlalchemy import advice, recovery
from otel_session.instrumentors.sqlalchemy.advice import DELETED, DYNAMIC, EMPTY, OTHER, RAISED, RECOVERED, Read
from otel_session.instrumentors.sqlalchemy.detached_signals import DetachedSignals
from otel_session.instrumentors.sqlalchemy.orm_session_ends import OrmSessionEnds
from otel_session.instrumentors.sqlalchemy.patches import Patches

_SEEN_ELSEWHERE = frozenset({strategies.__name__, loading.__name__, dynamic.__name__})
"""The modules whose errors come through what is wrapped."""
# SQLAlchemy 2.1 put an underscore before their names.
_ATTRIBUTE: Any = getattr(attributes, "_AttributeImpl", None) or getattr(attributes, "AttributeImpl", None)
_APPENDER: Any = getattr(dynamic, "_AppenderMixin", None) or getattr(dynamic, "AppenderMixin", None)


class DetachedWatch:
    """Sees the reads. One for the process; safe from any thread."""

    def __init__(self, signals: DetachedSignals) -> None:
        self.signals = signals
        self._active = False
        self._ends = OrmSessionEnds()
        self._last = threading.local()
        self._patches = Patches()

    def install(self) -> None:
        """Begin to watch."""
        self._active = True
        self._patches.wrap(Session, "expunge_all", self._around_expunge_all)
        self._patches.wrap(_ATTRIBUTE, "_fire_loader_callables", self._around_loading)
        self._patches.wrap(_APPENDER, "_generate", self._around_dynamic_query)
        for name in ("_iter", "__getitem__", "count"):
            self._patches.wrap(_APPENDER, name, self._around_dynamic_rows)
        self._patches.wrap(DetachedInstanceError, "__init__", self._around_error)

    def remove(self) -> None:
        """Put back what was changed, and recover nothing any more."""
        self._active = False  # where others have wrapped ours, it stays and does nothing
        self._patches.remove()
        recovery.use(None)

    def _around_expunge_all(self, original: Callable[..., Any]) -> Callable[..., Any]:
        note = self._ends.note

        def expunge_all(orm_session: Any) -> Any:
            try:
                if len(orm_session.identity_map):
                    note(orm_session.identity_map, sys._getframe(1))
            except Exception:
                report("DetachedWatch.expunge_all")
            return original(orm_session)

        return expunge_all

    def _around_loading(self, original: Callable[..., Any]) -> Callable[..., Any]:
        met = self._met

        def _fire_loader_callables(impl: Any, state: Any, key: str, passive: Any) -> Any:
            try:
                return original(impl, state, key, passive)
            except (DetachedInstanceError, exc.MissingGreenlet, exc.StatementError) as error:
                outcome = met(error, impl, state, key, passive)
                if outcome == RECOVERED:
                    return ATTR_WAS_SET
                if outcome == DELETED:
                    raise ObjectDeletedError(state) from error
                raise

        return _fire_loader_callables

    @guarded
    def _met(self, error: BaseException, impl: Any, state: Any, key: str, passive: Any) -> str | None:
        """Tell of an error of loading; gives what the application is to get."""
        if not self._active:
            return None
        detached = isinstance(error, DetachedInstanceError)
        cause = getattr(error, "orig", None) or error
        if not (detached or isinstance(cause, exc.MissingGreenlet)) or self._is_known(error):
            return None
        if detached is (state.session is not None):  # it only comes through here, from another object's loading
            return None
        read = self._read(state, key, advice.kind_of(impl, state, key))
        way = recovery.current() if detached and not passive & LOAD_AGAINST_COMMITTED else None
        if way is None:
            self.signals.read(read, RAISED, None, cause)
            return RAISED
        attempt = way.recover(state, key, read, self.signals)
        self.signals.read(read, attempt.outcome, attempt.reason, attempt.error or error)
        return attempt.outcome

    def _is_known(self, error: BaseException) -> bool:
        """Whether this error was told of: it passes each loader that called another one."""
        last = getattr(self._last, "error", None)
        if last is not None and last() is error:
            return True
        self._last.error = weakref.ref(error)
        return False

    def _read(self, state: Any, key: str, kind: str) -> Read:
        end, place = self._ends.of(state)
        return Read(state.mapper.class_.__name__, key, kind, end, place, advice.suggestion(kind, end, state, key))

    def _around_dynamic_query(self, original: Callable[..., Any]) -> Callable[..., Any]:
        tell = self._dynamic

        def _generate(query: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return original(query, *args, **kwargs)
            except DetachedInstanceError as error:
                tell(query, RAISED, error)
                raise

        return _generate

    def _around_dynamic_rows(self, original: Callable[..., Any]) -> Callable[..., Any]:
        tell = self._dynamic

        def rows(query: Any, *args: Any, **kwargs: Any) -> Any:
            if instance_state(query.instance).detached:
                tell(query, EMPTY, None)
            return original(query, *args, **kwargs)

        rows.__name__ = original.__name__
        return rows

    @guarded
    def _dynamic(self, query: Any, outcome: str, error: BaseException | None) -> None:
        if self._active:
            read = self._read(instance_state(query.instance), query.attr.key, DYNAMIC)
            self.signals.read(read, outcome, None, error)

    def _around_error(self, original: Callable[..., Any]) -> Callable[..., Any]:
        tell = self._raised_elsewhere

        def __init__(error: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - what it stands for
            original(error, *args, **kwargs)
            if sys._getframe(1).f_globals.get("__name__") not in _SEEN_ELSEWHERE:
                tell(error)

        return __init__

    @guarded
    def _raised_elsewhere(self, error: BaseException) -> None:
        if self._active and not self._is_known(error):
            suggestion = "Keep the ORM session open until all has been read."
            self.signals.read(Read("?", "?", OTHER, "", None, suggestion), RAISED, None, error)


_watch: DetachedWatch | None = None


def switch_on(tracer_provider: Any = None, meter_provider: Any = None, logger_provider: Any = None) -> None:
    """Watch from now on, as the settings in force say.

    Raises:
        ConfigError: The recovery's provider given in Python is none.
    """
    global _watch
    settings = config.active()
    if settings.detached == "off":
        return
    recovery.use_settings(settings)
    _watch = DetachedWatch(DetachedSignals(tracer_provider, meter_provider, logger_provider))
    _watch.install()


def switch_off() -> None:
    """Watch no more, recover nothing any more."""
    global _watch
    if _watch is not None:
        _watch.remove()
    _watch = None


def signals() -> DetachedSignals | None:
    """What tells of detached instances; None while they are not watched."""
    return _watch.signals if _watch is not None else None
