"""COMMIT and ROLLBACK of units of work: timed, counted, and told as spans inside the unit's."""

from __future__ import annotations

from collections.abc import Callable
from time import time_ns
from typing import Any

from sqlalchemy.engine import Connection

from otel_session import context as here
from otel_session import failures
from otel_session._guard import report
from otel_session.instrumentors.sqlalchemy.aborted import is_aborted
from otel_session.instrumentors.sqlalchemy.prepared import Target
from otel_session.instrumentors.sqlalchemy.queries import QueryRecorder, Started
from otel_session.instrumentors.sqlalchemy.units import KEY, Unit, unmark

COMMIT, ROLLBACK, PREPARE = "COMMIT", "ROLLBACK", "PREPARE TRANSACTION"
NAMES = {
    "do_commit": COMMIT,
    "do_rollback": ROLLBACK,
    "do_commit_twophase": "COMMIT PREPARED",
    "do_rollback_twophase": "ROLLBACK PREPARED",
    "do_prepare_twophase": PREPARE,
}
"""The dialect's methods, and what databases call what they do."""
_MOST = 100
_new = tuple.__new__


def wrappers(dialect: Any, target: Target, recorder: QueryRecorder) -> dict[str, Any]:
    """A wrapper for each of the dialect's methods that end a transaction."""
    return {
        method: _around(getattr(dialect, method), name, target, recorder)
        for method, name in NAMES.items()
        if hasattr(dialect, method)
    }


_SENDING = ("mysql", "mariadb")
"""Dialects whose drivers send a COMMIT also where there is nothing to commit."""


autocommits: Callable[[Connection], bool] = getattr(Connection, "_is_autocommit_isolation", lambda _: False)
"""Whether the database commits each statement by itself here (AUTOCOMMIT)."""


def sends_no_commit(connection: Connection) -> bool:
    """Whether the driver then sends no COMMIT."""
    return connection.dialect.name not in _SENDING


def _around(original: Callable[..., Any], name: str, target: Target, recorder: QueryRecorder) -> Callable[..., Any]:
    def do_end(connection: Any, *args: Any, **kwargs: Any) -> Any:
        # The pool's proxy, or a Connection when it is about two phases.
        owner = getattr(connection, "_connection_record", connection)
        unit = getattr(owner, KEY, None)
        if unit is None or not unit.statements or not recorder.active or unit.ending:
            return original(connection, *args, **kwargs)
        told = _told(name, *args, **kwargs) if args else name
        unit.ending = True  # some dialects' two-phase methods call the plain ones
        undone = unit.error is not None and name == COMMIT and is_aborted(unit, connection)
        start_ns = time_ns()
        try:
            result = original(connection, *args, **kwargs)
        except BaseException as error:
            _ended(unit, told, target, start_ns, error)
            if name == ROLLBACK:  # the connection is dead
                unmark(owner)
            raise
        _ended(unit, told, target, start_ns, None, undone=undone)
        if owner is connection:
            _leave_record(connection, name)
        elif name != PREPARE:
            try:
                delattr(owner, KEY)  # the pool rolls back what it gets back, in no transaction
            except AttributeError:  # another thread has
                pass
        return result

    return do_end


def _told(name: str, _xid: Any, is_prepared: bool = True, *_: Any, **__: Any) -> str:
    """What a method of two phases does: without the first one its second one is a plain COMMIT or ROLLBACK."""
    return name if is_prepared else name.removesuffix(" PREPARED")


def _leave_record(connection: Connection, name: str) -> None:
    """Of two phases, the connection's record: see above."""
    if name != PREPARE:
        record = getattr(connection.connection, "_connection_record", None)
        for owner in (connection, record):
            unmark(owner)


def _ended(
    unit: Unit, name: str, target: Target, start_ns: int, error: BaseException | None, *, undone: bool = False
) -> None:
    try:
        unit.ending = False
        end_ns = time_ns()
        unit.busy_ns += end_ns - start_ns
        if error is not None:
            unit.error = failures.type_name(error)
        elif undone:
            unit.undone = True
            unit.rollbacks += 1
        elif name.startswith(COMMIT):
            unit.commits += 1
        elif name.startswith(ROLLBACK):
            unit.rollbacks += 1
        if unit.known is None:
            return
        identity = here.current(unit.context)
        if identity is not None and identity.work is not None:
            identity.work.driver_ns += end_ns - start_ns
        prepared = target.ending(name)
        if prepared is not None and len(unit.endings) < _MOST:
            started = _new(Started, (prepared, unit.context, unit.known, start_ns, 1, unit))
            unit.endings += ((started, end_ns, error),)
    except Exception:
        report("transactions")
