"""Transactions that PostgreSQL has given up, because a statement failed: it answers COMMIT with ROLLBACK.

Neither SQLAlchemy nor the drivers tell: the application that went on after an error believes that it has committed.
"""

from __future__ import annotations

from typing import Any

from otel_session._guard import report
from otel_session.instrumentors.sqlalchemy.units import Unit

_IN_ERROR = 3  # libpq's PQTRANS_INERROR
_SILENT = ("asyncpg", "pg8000")
"""Drivers of PostgreSQL that do not say in which state a transaction is."""


def is_aborted(unit: Unit, connection: Any) -> bool:
    """Whether COMMIT will be a ROLLBACK on this connection, the pool's proxy. Never raises.

    psycopg2 and psycopg know. Of others it is so when the last statement has failed in the server: in such a
    transaction nothing succeeds but ROLLBACK TO SAVEPOINT.
    """
    try:
        driver = getattr(connection, "driver_connection", None)
        status = getattr(getattr(driver, "info", None), "transaction_status", None)
        if status is not None:
            return bool(status == _IN_ERROR)
        return unit.failed_at == unit.statements and type(driver).__module__.split(".")[0] in _SILENT
    except Exception:
        report("is_aborted")
        return False


def comes_from_server(error: BaseException) -> bool:
    """Whether a driver's error was the server's answer, as far as it can be told."""
    cause = error.__cause__ or error  # SQLAlchemy's adapter chains asyncpg's own
    return getattr(cause, "severity", "") is not None
