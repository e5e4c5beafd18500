"""SQLAlchemy 1.4 to 2.1: query spans and durations, sync and async, engines made before or after.

Units of work, the pool and detached instances have rooms of their own beside this one.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Collection
from typing import Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.pool import Pool

from otel_session._guard import report
from otel_session.instrumentors._base import Instrumentor
from otel_session.instrumentors.sqlalchemy import dialects
from otel_session.instrumentors.sqlalchemy.fetching import FetchErrors
from otel_session.instrumentors.sqlalchemy.queries import QueryRecorder

__all__ = ["SQLAlchemyInstrumentor"]

_log = logging.getLogger("otel_session")


class SQLAlchemyInstrumentor(Instrumentor):
    """Records what engines send.

    `instrument()` covers every engine of the process, also those made before; `instrument(engine=…)` the engines named
    only. Providers may be given as `tracer_provider`, `meter_provider` and `logger_provider`.
    """

    official_name = "sqlalchemy"

    _recorder: QueryRecorder | None = None
    _everywhere = False

    def instrumentation_dependencies(self) -> Collection[str]:
        """The SQLAlchemy versions this works on."""
        return ("sqlalchemy >= 1.4",)

    def _instrument(self, **kwargs: Any) -> None:
        if tuple(int(p) for p in sqlalchemy.__version__.split(".")[:2]) < (1, 4):
            _log.error("The SQLAlchemy instrumentor needs SQLAlchemy 1.4 or newer; %s is here.", sqlalchemy.__version__)
            return
        _dialects_named(kwargs)  # raises before anything is changed
        self._recorder = QueryRecorder(kwargs.get("tracer_provider"), kwargs.get("meter_provider"))
        self._fetch_errors = FetchErrors(self._recorder, kwargs.get("logger_provider"))
        event.listen(Engine, "handle_error", self._fetch_errors.handle_error)
        self._again(**kwargs)

    def _again(self, **kwargs: Any) -> None:
        if self._recorder is None:
            return
        named = _dialects_named(kwargs)
        for dialect in named:
            dialects.wrap(dialect, self._recorder)
        if not named and not self._everywhere:
            self._instrument_everywhere(self._recorder)

    def _instrument_everywhere(self, recorder: QueryRecorder) -> None:
        self._everywhere = True
        self._original_engine_created = Dialect.__dict__["engine_created"]
        original = self._original_engine_created.__func__

        def engine_created(cls: Any, engine: Any) -> None:
            original(cls, engine)
            try:
                dialects.wrap(engine.dialect, recorder)
            except Exception:
                report("SQLAlchemyInstrumentor.engine_created")

        def checked_out(_dbapi_connection: Any, _record: Any, proxy: Any) -> None:
            # Engines made before us are met when they hand out a connection.
            try:
                dialects.wrap(proxy._pool._dialect, recorder)
            except Exception:
                report("SQLAlchemyInstrumentor.checkout")

        self._engine_created = classmethod(engine_created)
        Dialect.engine_created = self._engine_created  # type: ignore[assignment, method-assign]
        self._checked_out = None
        if _engines_may_exist():  # else each checkout would pay for what never happens
            self._checked_out = checked_out
            event.listen(Pool, "checkout", checked_out)

    def _uninstrument(self, **kwargs: Any) -> None:
        if self._recorder is not None:
            self._recorder.active = False
            event.remove(Engine, "handle_error", self._fetch_errors.handle_error)
        if self._everywhere:
            if Dialect.__dict__["engine_created"] is self._engine_created:
                Dialect.engine_created = self._original_engine_created  # type: ignore[method-assign]
            if self._checked_out is not None:
                event.remove(Pool, "checkout", self._checked_out)
        dialects.unwrap_all()
        self._recorder, self._everywhere = None, False


def _engines_may_exist() -> bool:
    """Whether there are engines already, as far as the garbage collector knows; 0.1 s for a million objects."""
    if gc.get_freeze_count():  # it does not tell of what was frozen
        return True
    # `type()`, since proxies pretend to be of the class of what they stand for, or fail when asked.
    return any(issubclass(type(found), Engine) for found in gc.get_objects())


def _dialects_named(kwargs: dict[str, Any]) -> list[Any]:
    """The dialects of `engine=` and `engines=`."""
    found = []
    for engine in (kwargs.get("engine"), *(kwargs.get("engines") or ())):
        if engine is None:
            continue
        dialect = getattr(getattr(engine, "sync_engine", engine), "dialect", None)
        if dialect is None:
            raise TypeError(f"engine is {engine!r}; expected a SQLAlchemy Engine or AsyncEngine.")
        found.append(dialect)
    return found
