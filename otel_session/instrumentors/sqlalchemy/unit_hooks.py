"""Where SQLAlchemy is watched for units of work: 1.4 to 2.1, sync and async, scoped, joined, two-phase, leaked.

The begin is `SessionTransaction._connection_for_bind`, so that connecting and waiting for the pool are inside; the end
is the root's `close`, which every end comes to, and which no application takes off as it may event listeners. A leaked
ORM session is not closed: a weak reference tells.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import time_ns
from typing import Any
from weakref import ref

from sqlalchemy import event
from sqlalchemy.engine import Connection, util
from sqlalchemy.orm import Session, SessionTransaction, session

from otel_session import failures
from otel_session._guard import report
from otel_session.instrumentors.sqlalchemy import connects
from otel_session.instrumentors.sqlalchemy.orm_sessions import OrmSessions
from otel_session.instrumentors.sqlalchemy.patches import Patches, unlisten
from otel_session.instrumentors.sqlalchemy.transactions import autocommits, sends_no_commit
from otel_session.instrumentors.sqlalchemy.unit_signals import UnitSignals
from otel_session.instrumentors.sqlalchemy.units import KEY, LEAKED, Unit, unit_of
from otel_session.wire.entries import Dropped

_BRACKETED = "opentelemetry.instrumentation.sqlalchemy"
_EVENTS = ("after_rollback", "after_flush")
# 1.4 has no enumeration. Where a version to come has neither, no commit is seen, and the application is not harmed.
_COMMITTED: Any = getattr(getattr(session, "SessionTransactionState", session), "COMMITTED", object())
_BLOCK: Any = getattr(util, "TransactionalContext", SessionTransaction)
"""What `with orm_session.begin():` enters; SQLAlchemy 1.4.0 to 1.4.11 have no class for it."""


class UnitHooks:
    """Watches all ORM sessions of the process."""

    def __init__(self, signals: UnitSignals) -> None:
        self.signals = signals
        self.active = False
        self.orm_sessions = OrmSessions(self._lost, signals.end)
        self._patches = Patches()
        self._bracketed = False

    def install(self) -> None:
        """Begin to watch."""
        self.active = True
        wrap = self._patches.wrap
        wrap(SessionTransaction, "_connection_for_bind", self._around_connecting)
        wrap(SessionTransaction, "close", self._around_end)
        wrap(_BLOCK, "__exit__", self._around_exit)
        wrap(Session, "__exit__", self._around_exit)
        wrap(Session, "__init__", self._around_creation)
        for name in ("close", "invalidate"):
            wrap(Session, name, self._around_close)
        for name in _EVENTS:
            event.listen(Session, name, getattr(self, name))

    def remove(self) -> None:
        """Put back what was changed, and forget the units that are open."""
        self.active = False
        self._patches.remove()
        for name in _EVENTS:
            unlisten(Session, name, getattr(self, name))
        for unit in self.orm_sessions.forget_all():
            unit.let_go()

    def _around_connecting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        begin, connected, count_savepoint = self._begin, self._connected, _count_savepoint

        def _connection_for_bind(transaction: Any, bind: Any, *args: Any, **kwargs: Any) -> Any:
            if bind in transaction._connections or not self.active:
                return original(transaction, bind, *args, **kwargs)
            if transaction._parent is not None:
                connection = original(transaction, bind, *args, **kwargs)  # it asks its parent
                if transaction.nested:
                    count_savepoint(transaction)
                return connection
            unit = getattr(transaction, KEY, None) or begin(transaction)
            if unit is None:
                return original(transaction, bind, *args, **kwargs)
            try:
                if unit.span is None or not self.signals.is_here(unit):
                    connection = original(transaction, bind, *args, **kwargs)
                else:  # the pool, the driver and others' instrumentations see the unit's span while it connects
                    with self.signals.inside(unit):
                        connection = original(transaction, bind, *args, **kwargs)
            except BaseException as error:
                unit.error = _type_of(error)
                raise
            finally:
                if not unit.owners:  # before there is a connection no transaction is idle
                    unit.busy_ns = time_ns() - unit.start_ns
            connected(unit, connection, bind)
            return connection

        connects.find_units_in(_connection_for_bind, "unit")
        return _connection_for_bind

    def _begin(self, root: Any) -> Unit | None:
        try:
            unit = self.signals.begin()
            if unit is None:
                return None
            setattr(root, KEY, unit)
            if self.orm_sessions.begin(root.session, unit) and type(unit.ambient) is not Dropped:
                unit.begins_orm_session()
            if not self._bracketed and _BRACKETED in sys.modules:
                self._bracketed = True
                self._patches.wrap(Connection, "_execute_context", self._around_executing)
            return unit
        except Exception:
            report("UnitHooks.begin")
            return None

    def _connected(self, unit: Unit, connection: Any, bind: Any) -> None:
        try:
            if isinstance(bind, Connection):
                unit.joined = True
                if getattr(connection, KEY, None) is not None:  # another unit's connection stays that one's
                    return
            setattr(connection, KEY, unit)
            record = getattr(connection.connection, "_connection_record", None)
            if record is not None and not (autocommits(connection) and sends_no_commit(connection)):
                # Where two units share one, the later is found.
                setattr(record, KEY, unit)
            unit.owners += (ref(connection), record)  # of a leak, the connection must go with its ORM session
        except Exception:
            report("UnitHooks.connected")

    def _around_executing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        # The official instrumentation's spans begin in events before `do_execute`: they get their parent here.
        def _execute_context(connection: Any, *args: Any, **kwargs: Any) -> Any:
            unit = unit_of(connection)
            if unit is None or not self.active or not self.signals.is_here(unit):
                return original(connection, *args, **kwargs)
            with self.signals.inside(unit):
                return original(connection, *args, **kwargs)

        return _execute_context

    def _around_exit(self, original: Callable[..., Any]) -> Callable[..., Any]:
        # Under asyncio `sys.exc_info()` is empty where the rollback is done.
        def __exit__(block: Any, kind: Any, error: Any, traceback: Any) -> Any:  # noqa: N807 - what it stands for
            if error is not None and self.active:
                self._note(block, error)
            return original(block, kind, error, traceback)

        return __exit__

    def _note(self, block: Any, error: BaseException) -> None:
        try:
            transaction = block.get_transaction() if isinstance(block, Session) else block
            unit = unit_of(transaction) if not getattr(transaction, "nested", False) else None
            if unit is not None:
                unit.reason = _type_of(error)
        except Exception:
            report("UnitHooks.note")

    def _around_creation(self, original: Callable[..., Any]) -> Callable[..., Any]:
        created = self.orm_sessions.created

        def __init__(orm_session: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - what it stands for
            original(orm_session, *args, **kwargs)
            if self.active:
                created(orm_session)

        return __init__

    def _around_end(self, original: Callable[..., Any]) -> Callable[..., Any]:
        ended = self._ended

        def close(transaction: Any, invalidate: bool = False) -> Any:
            unit = getattr(transaction, KEY, None)
            if unit is None or not self.active:
                return original(transaction, invalidate)
            key = id(transaction.session)
            if getattr(transaction, "_state", None) is _COMMITTED:
                if unit.undone:
                    unit.rolled_back, unit.reason = True, unit.reason or unit.error
                else:
                    unit.committed, unit.error, unit.reason = True, None, None
            result = original(transaction, invalidate)
            ended(unit, key, transaction)
            return result

        return close

    def _ended(self, unit: Unit, key: int, root: Any) -> None:
        try:
            try:
                delattr(root, KEY)
            except AttributeError:  # listeners of the application's may have closed it again meanwhile
                pass
            units = self.orm_sessions.units
            if units.get(key) is unit:  # else a listener of the application's has begun the next one
                del units[key]
                self.signals.end(unit)
        except Exception:
            report("UnitHooks.ended")

    def _around_close(self, original: Callable[..., Any]) -> Callable[..., Any]:
        closed = self.orm_sessions.closed

        def close(orm_session: Any) -> Any:
            try:
                return original(orm_session)
            finally:
                if self.active:
                    closed(orm_session)

        return close

    def after_rollback(self, orm_session: Any) -> None:
        """SQLAlchemy's event."""
        try:
            unit = unit_of(orm_session.get_transaction())
            if unit is None:
                return
            error = sys.exc_info()[1]
            if orm_session.in_nested_transaction():
                unit.error = None  # the application goes on from the savepoint
                return
            unit.rolled_back = True
            if unit.reason is None and error is not None:
                unit.reason = _type_of(error)
        except Exception:
            report("UnitHooks.after_rollback")

    def after_flush(self, orm_session: Any, flush: Any) -> None:
        """SQLAlchemy's event: what was new, changed and deleted is still known."""
        try:
            unit = self.orm_sessions.units.get(id(orm_session))
            if unit is not None and unit.known is not None:
                new, deleted = len(orm_session._new), len(orm_session._deleted)
                written = sum(1 for _, only_listed in flush.states.values() if not only_listed)
                before = unit.flushed
                unit.flushed = (
                    before[0] + new,
                    before[1] + max(0, written - new - deleted),
                    before[2] + deleted,
                )
        except Exception:
            report("UnitHooks.after_flush")

    def _lost(self, unit: Unit) -> None:
        """An ORM session was collected while its unit of work was open."""
        if self.active:
            if unit.statements:
                unit.rollbacks += unit.still_found()  # the pools do it, those that have not done it already
            self.signals.end(unit, LEAKED)


def _count_savepoint(transaction: Any) -> None:
    try:
        root = transaction
        while root._parent is not None:
            root = root._parent
        unit = getattr(root, KEY, None)
        if unit is not None:
            unit.savepoints += 1
    except Exception:
        report("UnitHooks.nested")


def _type_of(error: BaseException) -> str:
    """`error.type`: the driver's own exception where SQLAlchemy wraps it."""
    return failures.type_name(getattr(error, "orig", None) or error)
