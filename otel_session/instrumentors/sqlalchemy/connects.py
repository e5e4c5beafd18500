"""One CLIENT span for each new connection to a database, made or failed: inside its unit of work, if it is for one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import time_ns
from types import CodeType
from typing import Any

from sqlalchemy.engine import Engine

from otel_session import attributes as names
from otel_session import context as here
from otel_session._guard import report
from otel_session.instrumentors.sqlalchemy import dialects
from otel_session.instrumentors.sqlalchemy.prepared import Prepared
from otel_session.instrumentors.sqlalchemy.queries import OFFICIAL, QueryRecorder, official_listens
from otel_session.instrumentors.sqlalchemy.targets import target_of
from otel_session.instrumentors.sqlalchemy.units import Unit
from otel_session.wire.entries import Dropped

_DEEPEST = 60
"""SQLAlchemy's own calls between an ORM session and the driver are some fifteen."""
_wrapper: tuple[CodeType | None, str] = (None, "")


def find_units_in(function: Callable[..., Any], name: str) -> None:
    """Tell which function connects units of work, and which of its variables is the unit."""
    global _wrapper
    _wrapper = function.__code__, name


def _connecting() -> Unit | None:
    """The unit of work for which a connection is being made here.

    Found in the calling frames: connections are seldom made, and a context variable would cost every unit of work.
    """
    code, name = _wrapper
    frame = sys._getframe(2)
    for _ in range(_DEEPEST):
        if frame.f_code is code:
            found = frame.f_locals.get(name)
            return found if isinstance(found, Unit) else None
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None


class ConnectSpans:
    """Tells of connections. One for the process; safe from any thread."""

    def __init__(self, recorder: QueryRecorder) -> None:
        self._recorder = recorder

    def tell(self, pool: Any, watch: Any, start_ns: int, connection: Any, error: BaseException | None) -> None:
        """A connection was made, or `error` came instead. Never raises."""
        end_ns = time_ns()
        try:
            context = here.get_current()
            if type(context.get(here.SPAN)) is Dropped or not self._recorder.is_on(context):
                return
            prepared = self._about(pool, watch, connection)
            if prepared is not None:
                self._recorder.tell(prepared, _connecting(), context, (start_ns, end_ns), error)
        except Exception:
            report("ConnectSpans.tell")

    def _about(self, pool: Any, watch: Any, connection: Any) -> Prepared | None:
        """The static part; None where it is the official instrumentation's to tell, or nobody knows which database."""
        engine = next((e for e in watch.engines() if getattr(e, "pool", None) is pool), None)
        if _official_connects() or (engine is not None and official_listens(engine)):
            return None
        dialect = getattr(pool, "_dialect", None)  # outlives the engine
        target = dialects.target_of(dialect, self._recorder) if hasattr(dialect, "__dict__") else None
        found = target.connecting() if target is not None else None
        if found is not None or engine is None:
            return found
        about = target_of(engine, connection)
        return Prepared(names.SPAN_CONNECT, about, about)


def _official_connects() -> bool:
    """Whether the official instrumentation tells of each `Engine.connect`, also of engines it listens to no further."""
    if OFFICIAL not in sys.modules:
        return False
    around = getattr(Engine.__dict__.get("connect"), "_self_wrapper", None)
    return str(getattr(around, "__module__", "")).startswith(OFFICIAL)
