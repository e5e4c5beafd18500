"""The ORM session that a recovery loads with: checked at set-up, lent for one recovery, given back as it was."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy.orm import Session, scoped_session

from otel_session import propagation
from otel_session.exceptions import ConfigError

Provider = Callable[[], Any]
_EXPECTED = (
    "expected an ORM session, an AsyncSession, or a context manager that gives one; "
    "a sessionmaker or a scoped_session is such a provider"
)


def checked(provider: Any) -> Provider:
    """The provider, if it gives what it should. It is called once; where it needs a request, its first use will tell.

    Args:
        provider: A callable, or `MODULE:FUNCTION`, which is imported at its first use, when the application is there.

    Raises:
        ConfigError: It is no callable, fails, or gives something else than an ORM session.
    """
    if isinstance(provider, str):
        return lambda: propagation.load_callable(provider)()
    if not callable(provider):
        raise ConfigError(f"The recovery's provider is {provider!r}; expected a callable that gives an ORM session.")
    try:
        made = _called(provider)
    except ConfigError as error:
        if isinstance(error.__cause__, RuntimeError):  # "Working outside of application context."
            return provider  # type: ignore[no-any-return]  # it is callable
        raise
    if session_of(made) is None and not isinstance(made, AbstractContextManager):
        if inspect.iscoroutine(made):
            made.close()  # else Python complains that nobody awaited it
        raise ConfigError(f"The recovery's provider gave {_shown(made)}; {_EXPECTED}.")
    return provider  # type: ignore[no-any-return]  # it is callable


@contextmanager
def lent(provider: Provider) -> Iterator[tuple[Session, bool]]:
    """An ORM session for the time of a block, and whether others use it: then nothing of theirs is touched.

    One that nobody uses is closed afterwards, unless it is a thread's own of a `scoped_session`.

    Raises:
        ConfigError: The provider gave something else.
    """
    made = _called(provider)
    orm_session = session_of(made)
    if orm_session is not None:
        ours = not hasattr(provider, "registry") and not isinstance(made, scoped_session)
        shared = _in_use(orm_session)
        try:
            yield orm_session, shared
        finally:
            if ours and not shared:
                orm_session.close()
    elif isinstance(made, AbstractContextManager):
        with made as entered:
            orm_session = session_of(entered)
            if orm_session is None:
                raise ConfigError(f"The recovery's provider gave {_shown(entered)}; {_EXPECTED}.")
            shared = _in_use(orm_session)
            yield orm_session, shared
            if not shared:
                orm_session.expunge_all()  # a commit at the end would expire what was loaded
    else:
        raise ConfigError(f"The recovery's provider gave {_shown(made)}; {_EXPECTED}.")


def must_await(orm_session: Session, mapper: Any) -> bool:
    """Whether its driver is an async one and this is not a place where SQLAlchemy can await it."""
    if not getattr(orm_session.get_bind(mapper).dialect, "is_async", False):
        return False
    greenlet = sys.modules.get("greenlet")
    return greenlet is None or type(greenlet.getcurrent()).__name__ != "_AsyncIoGreenlet"


def _called(provider: Provider) -> Any:
    try:
        return provider()
    except Exception as error:
        raise ConfigError(f"The recovery's provider failed with {type(error).__name__}; {_EXPECTED}.") from error


def session_of(made: Any) -> Session | None:
    """The ORM session in what a provider gave, None when there is none in it."""
    if isinstance(made, scoped_session):
        made = made()
    made = getattr(made, "sync_session", made)  # an AsyncSession's
    return made if isinstance(made, Session) else None


def _in_use(orm_session: Session) -> bool:
    return bool(orm_session.in_transaction() or len(orm_session.identity_map) or orm_session.new or orm_session.deleted)


def _shown(made: Any) -> str:
    return "None" if made is None else f"an object of {type(made).__module__}.{type(made).__qualname__}"
