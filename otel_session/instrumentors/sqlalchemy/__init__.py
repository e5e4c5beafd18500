"""SQLAlchemy 1.4 to 2.1: query spans and durations, sync and async, engines made before or after.

Units of work, the pool and detached instances have rooms of their own beside this one.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

import sqlalchemy

_log = logging.getLogger("otel_session")
if tuple(int(part) for part in sqlalchemy.__version__.split(".")[:2]) < (1, 4):
    # Said before the imports below, which fail there. Who loads us takes this error for a library that is not here.
    _log.error("The SQLAlchemy instrumentor needs SQLAlchemy 1.4 or newer; %s is here.", sqlalchemy.__version__)
    raise ModuleNotFoundError("sqlalchemy 1.4 or newer", name="sqlalchemy 1.4 or newer")

from sqlalchemy.engine.interfaces import Dialect

from otel_session import _heap, config
from otel_session._guard import report
from otel_session.instrumentors._base import Instrumentor
from otel_session.instrumentors.sqlalchemy import detached, dialects
from otel_session.instrumentors.sqlalchemy.connects import ConnectSpans
from otel_session.instrumentors.sqlalchemy.existing import existing
from otel_session.instrumentors.sqlalchemy.fetching import FetchErrors
from otel_session.instrumentors.sqlalchemy.pool import PoolWatcher, check
from otel_session.instrumentors.sqlalchemy.queries import SCOPE, QueryRecorder
from otel_session.instrumentors.sqlalchemy.unit_counts import UnitCounts
from otel_session.instrumentors.sqlalchemy.unit_hooks import UnitHooks
from otel_session.instrumentors.sqlalchemy.unit_signals import UnitSignals

__all__ = ["SQLAlchemyInstrumentor"]


class SQLAlchemyInstrumentor(Instrumentor):
    """Records what engines send.

    `instrument()` covers every engine of the process, also those made before; `instrument(engine=…)` the engines named
    only. Providers may be given as `tracer_provider`, `meter_provider` and `logger_provider`.
    """

    official_name = "sqlalchemy"

    _recorder: QueryRecorder | None = None
    _pools: PoolWatcher | None = None
    _units: UnitHooks | None = None
    _everywhere = False

    def instrumentation_dependencies(self) -> Collection[str]:
        """The SQLAlchemy versions this works on."""
        return ("sqlalchemy >= 1.4",)

    def _instrument(self, **kwargs: Any) -> None:
        _engines_named(kwargs)  # raises before anything is changed
        detached.switch_on(*(kwargs.get(f"{name}_provider") for name in ("tracer", "meter", "logger")))
        self._recorder = QueryRecorder(kwargs.get("tracer_provider"), kwargs.get("meter_provider"))
        self._fetch_errors = FetchErrors(self._recorder, kwargs.get("logger_provider"))
        self._fetch_errors.install()
        connects = ConnectSpans(self._recorder)
        self._pools = PoolWatcher(SCOPE, connects.tell, kwargs.get("meter_provider"), kwargs.get("logger_provider"))
        counts = UnitCounts(SCOPE, kwargs.get("meter_provider"))
        signals = UnitSignals(self._recorder, counts, opened_at=config.active().pool_opened_at)
        self._units = UnitHooks(signals)
        self._units.install()
        counts.observe(self._units.orm_sessions)
        self._again(**kwargs)

    def _again(self, **kwargs: Any) -> None:
        if self._recorder is None or self._pools is None:
            return
        named = _engines_named(kwargs)
        for engine in named:
            dialects.wrap(engine.dialect, self._recorder)
            self._pools.watch(engine)
        if named:
            self._pools.take_in(existing().proxies)
        elif not self._everywhere:
            self._instrument_everywhere(self._recorder, self._pools)

    def _instrument_everywhere(self, recorder: QueryRecorder, pools: PoolWatcher) -> None:
        self._everywhere = True
        self._original_engine_created = Dialect.__dict__["engine_created"]
        original = self._original_engine_created.__func__

        def engine_created(cls: Any, engine: Any) -> None:
            original(cls, engine)
            try:
                dialects.wrap(engine.dialect, recorder)
            except Exception:
                report("SQLAlchemyInstrumentor.engine_created")
            pools.try_to_watch(engine)

        def meet(pool: Any) -> None:
            # Engines made before us are met when they hand out a connection.
            try:
                if recorder.active:
                    dialects.wrap(pool._dialect, recorder)
            except Exception:
                report("SQLAlchemyInstrumentor.meet")

        self._engine_created = classmethod(engine_created)
        Dialect.engine_created = self._engine_created  # type: ignore[assignment, method-assign]
        pools.watch_everything()
        if _heap.comes_first():
            return
        found = existing()
        if found.engines or _heap.hides_others():  # else each checkout would pay for what never happens
            pools.before_each(meet)
            for engine in found.engines:
                pools.try_to_watch(engine)
            pools.take_in(found.proxies)

    def _uninstrument(self, **kwargs: Any) -> None:
        if self._recorder is not None:
            self._recorder.active = False
            self._fetch_errors.remove()
        if self._everywhere and Dialect.__dict__["engine_created"] is self._engine_created:
            Dialect.engine_created = self._original_engine_created  # type: ignore[method-assign]
        dialects.unwrap_all()
        detached.switch_off()
        if self._units is not None:
            self._units.remove()
            self._units.signals.counts.end()
            self._units = None
        if self._pools is not None:
            self._pools.end()
        self._recorder, self._pools, self._everywhere = None, None, False


def _engines_named(kwargs: dict[str, Any]) -> list[Any]:
    """The engines of `engine=` and `engines=`; of an asynchronous one, the engine in it."""
    found = []
    for engine in (kwargs.get("engine"), *(kwargs.get("engines") or ())):
        if engine is None:
            continue
        inner = getattr(engine, "sync_engine", engine)
        if getattr(inner, "dialect", None) is None:
            raise TypeError(f"engine is {engine!r}; expected a SQLAlchemy Engine or AsyncEngine.")
        check(inner)
        found.append(inner)
    return found
