"""`reattach()`: put a detached object into an ORM session, if nothing can be lost or written by that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import perf_counter
from typing import Any, TypeVar

from sqlalchemy import inspect
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import Session
from sqlalchemy.orm.state import InstanceState

from otel_session.exceptions import ReattachError
from otel_session.instrumentors.sqlalchemy import detached, providers
from otel_session.instrumentors.sqlalchemy.advice import RECOVERED

T = TypeVar("T")
REFUSED = "refused"
_attaching = threading.Lock()
"""Held from the checks to the attaching: of several threads, one gets the object, the others are told so."""


def reattach(instance: T, orm_session: Any) -> T:
    """Attach a detached object; its attributes load again as they are read.

    Args:
        instance: A mapped object that is in no ORM session, with no change that is not in the database. In the given
            ORM session already, it stays there.
        orm_session: A `Session`, `scoped_session` or `AsyncSession`.

    Returns:
        The same object.

    Raises:
        ReattachError: It is not safe; the message says why.
        TypeError: It is not a mapped object, or not an ORM session.
    """
    into = providers.session_of(orm_session)
    if into is None:
        raise TypeError(
            f"The ORM session is of {type(orm_session).__qualname__!r}; expected a Session or AsyncSession."
        )
    state = _state_of(instance)
    if state.session is into:
        return instance
    outcome, began_s = REFUSED, perf_counter()
    try:
        with _attaching:
            _check_all(state, into)
            into.add(instance)
        outcome = RECOVERED
    finally:
        signals = detached.signals()
        if signals is not None:
            signals.reattached(_name(state), outcome, perf_counter() - began_s)
    return instance


def _state_of(instance: Any) -> Any:
    try:
        state = inspect(instance)
    except NoInspectionAvailable:
        state = None
    if not isinstance(state, InstanceState):
        raise TypeError(f"The object is of {type(instance).__qualname__!r}; expected an object of a mapped class.")
    return state


def _name(state: Any) -> str:
    return str(state.mapper.class_.__name__)


def _check_all(state: Any, into: Session) -> None:
    _check(state, into, _name(state))
    for other, name in _cascaded(state):
        if other.session is not into:
            _check(other, into, name)


def _cascaded(state: Any) -> Iterator[tuple[Any, str]]:
    """The objects that SQLAlchemy would attach with it, and what to call them."""
    for _, _, other, _ in state.mapper.cascade_iterator("save-update", state):
        yield other, f"{_name(other)} (reached from the {_name(state)})"


def _check(state: Any, into: Session, name: str) -> None:
    if state.key is None:
        raise ReattachError(
            "transient",
            f"{name} was never in the database, and attaching it would insert it. Use orm_session.add() if it shall.",
        )
    if state.deleted or state.was_deleted:
        raise ReattachError("deleted", f"{name} was deleted, and attaching it would not bring its row back.")
    if state.session is not None:
        raise ReattachError(
            "attached",
            f"{name} is in another ORM session. Use orm_session.merge() for a copy, or end that ORM session first.",
        )
    if state.modified:
        changed = ", ".join(sorted(state.committed_state)) or "a collection"
        raise ReattachError(
            "modified",
            f"{name} has changes that are not in the database ({changed}), and the next flush would write them. "
            "Use orm_session.merge() if it shall, or orm_session.get() for what the database holds.",
        )
    if state.key in into.identity_map:
        raise ReattachError(
            "conflict",
            f"The ORM session holds another copy of this {name}, maybe a changed one. Use that one: orm_session.get().",
        )
