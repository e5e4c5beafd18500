"""The opt-in recovery `load_only`: what a detached object is asked for is loaded by another ORM session.

The values come from a later snapshot than the rest of the object, and each recovery is a query more: it keeps a page
alive, and its events say what to repair.
"""

from __future__ import annotations

import logging
import threading
import time
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from sqlalchemy.orm.exc import ObjectDeletedError

from otel_session import context as here
from otel_session.config import Config
from otel_session.exceptions import ConfigError
from otel_session.instrumentors.sqlalchemy import providers
from otel_session.instrumentors.sqlalchemy.advice import DELETED, RAISED, RECOVERED, Read
from otel_session.instrumentors.sqlalchemy.detached_signals import Attempt, DetachedSignals

STRATEGY = "load_only"
_log = logging.getLogger("otel_session")
_recovering: ContextVar[bool] = ContextVar("otel_session_recovering", default=False)


class Budget:
    """How often something may be done in one trace; outside of any, in one minute. Remembers 1,000 traces."""

    _MOST_TRACES = 1_000

    def __init__(self, most: int) -> None:
        self._most = most
        self._used: dict[Any, int] = {}
        self._lock = threading.RLock()  # garbage collection may come in the middle, and other tasks under asyncio

    def take(self) -> bool:
        """Whether it may be done once more here."""
        owner = _current_trace()
        with self._lock:
            used = self._used.pop(owner, 0)
            self._used[owner] = used + 1 if used < self._most else used
            if len(self._used) > self._MOST_TRACES:
                del self._used[next(iter(self._used))]
        return used < self._most


def _current_trace() -> Any:
    known = trace.get_current_span().get_span_context()
    if known.is_valid:
        return known.trace_id
    identity = here.current()
    return identity.correlation_id if identity is not None else -int(time.monotonic() // 60)


class Recovery:
    """Loads attributes of detached objects. Safe from any thread."""

    def __init__(self, provider: Any, budget: int) -> None:
        # With it comes SQLAlchemy's `ext.mutable`, the largest module that start-up would load for nothing.
        from otel_session.instrumentors.sqlalchemy import surrogate

        self._load_by = surrogate.load
        self._provider = providers.checked(provider)
        self._budget = Budget(budget)
        self._told = False

    def recover(self, state: Any, key: str, read: Read, signals: DetachedSignals) -> Attempt:
        """Try it; never raises what the application did not ask for. The object has the value when it succeeded."""
        if not self._budget.take():
            return _refused("budget")
        with signals.recovery(read, STRATEGY) as attempt:
            token = _recovering.set(True)
            try:
                self._load(state, key, attempt)
            except Exception as error:
                self._failed(attempt, error)
            finally:
                _recovering.reset(token)
        if attempt.outcome == RECOVERED:
            _count()
        return attempt

    def _load(self, state: Any, key: str, attempt: Attempt) -> None:
        with providers.lent(self._provider) as (orm_session, shared):
            # All is caught here: seen by the provider's own context manager, it would roll its unit of work back.
            try:
                if providers.must_await(orm_session, state.mapper):
                    attempt.reason = "async"
                elif state.key in orm_session.identity_map:
                    attempt.reason = "conflict"
                else:
                    self._load_by(state, key, orm_session, shared=shared)
                    attempt.outcome = RECOVERED if key in state.dict else RAISED
            except ObjectDeletedError:
                attempt.outcome = DELETED
            except Exception as error:
                self._failed(attempt, error)

    def _failed(self, attempt: Attempt, error: Exception) -> None:
        if attempt.outcome == RECOVERED:  # it failed in closing only
            return
        attempt.error, attempt.reason = error, "failed"
        if isinstance(error, ConfigError):
            attempt.reason = "provider"
            if not self._told:
                self._told = True
                _log.error("Detached instances are not recovered. %s", error)


def _count() -> None:
    """One more for the request that this is done in."""
    identity = here.current()
    if identity is not None and identity.work is not None:
        identity.work.recoveries += 1


def _refused(reason: str) -> Attempt:
    attempt = Attempt()
    attempt.reason = reason
    return attempt


_in_force: Recovery | None = None


def current() -> Recovery | None:
    """The recovery in force; None when there is none, and inside of a recovery."""
    return None if _recovering.get() else _in_force


def use(recovery: Recovery | None) -> None:
    """Put a recovery in force, in place of any other; None ends it."""
    global _in_force
    _in_force = recovery


def use_settings(settings: Config) -> None:
    """Put in force what the settings say, unless the application has chosen already.

    Raises:
        ConfigError: The provider given in Python is none.
    """
    if settings.detached == STRATEGY and _in_force is None:
        use(Recovery(settings.detached_provider, settings.detached_budget))
