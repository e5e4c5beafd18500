"""What an application can do itself about SQLAlchemy's detached instances: have them recovered, or attach one again."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from otel_session import config
from otel_session.exceptions import MissingExtraError

T = TypeVar("T")


def recover_detached(provider: Callable[[], Any], *, budget: int | None = None) -> None:
    """Load what detached instances are asked for, from here on, as the setting `detached=load_only` does.

    The object itself is attached to nothing: another ORM session loads the value, which comes from a later snapshot
    than the rest of the object. Works while SQLAlchemy is instrumented, until `uninstrument()`.

    Args:
        provider: Called without arguments for each recovery; gives an ORM session, such as a `sessionmaker` or a
            `scoped_session` does, or a context manager that gives one. One that nobody uses is closed afterwards.
        budget: Most attributes loaded so in one trace; the setting `detached_budget` by default.

    Raises:
        ConfigError: The provider gives something else, or the budget is no whole number from 1 to 1000000.
        MissingExtraError: SQLAlchemy is not installed.
    """
    settings = config.Config.load({}, detached_budget=budget) if budget is not None else config.active()
    recovery = _room("recovery")
    recovery.use(recovery.Recovery(provider, settings.detached_budget))


def reattach(instance: T, orm_session: Any) -> T:
    """Attach a detached object to an ORM session, if nothing can be lost or written by that.

    Args:
        instance: A mapped object that is in no ORM session and has no change that is not in the database.
        orm_session: A `Session`, `scoped_session` or `AsyncSession`.

    Returns:
        The same object; its attributes load again as they are read.

    Raises:
        ReattachError: It is not safe; the message says why.
        MissingExtraError: SQLAlchemy is not installed.
        TypeError: It is not a mapped object, or not an ORM session.
    """
    attached: T = _room("reattach").reattach(instance, orm_session)
    return attached


def _room(name: str) -> Any:
    try:
        return importlib.import_module(f"otel_session.instrumentors.sqlalchemy.{name}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"Detached instances need {error.name}. Install it with: pip install 'otel-session[sqlalchemy]'"
        ) from error
