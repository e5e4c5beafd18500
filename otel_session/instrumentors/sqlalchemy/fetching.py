"""Errors as SQLAlchemy tells of them: what they mean for a unit of work, whoever records the statement.

Those that come while rows are fetched become an event, since the statement has been recorded by then. Semantic
conventions: `db.client.operation.exception`.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time_ns
from typing import Any

from opentelemetry._logs import SeverityNumber, get_logger
from opentelemetry.context import get_current
from sqlalchemy.engine import Connection

from otel_session import attributes as names
from otel_session import context as here
from otel_session import failures
from otel_session._guard import guarded
from otel_session.instrumentors.sqlalchemy import dialects
from otel_session.instrumentors.sqlalchemy.aborted import comes_from_server
from otel_session.instrumentors.sqlalchemy.patches import Patches
from otel_session.instrumentors.sqlalchemy.queries import FAILED, SCOPE, QueryRecorder, told_of
from otel_session.instrumentors.sqlalchemy.units import unit_of


class FetchErrors:
    """Hears of each error of a driver where SQLAlchemy makes its own of it.

    Its event `handle_error` comes from there; but with a listener, SQLAlchemy looks for those of every event of the
    dialect at each statement.
    """

    def __init__(self, recorder: QueryRecorder, logger_provider: Any = None) -> None:
        self._recorder = recorder
        self._logger_provider = logger_provider
        self._patches = Patches()

    def install(self) -> None:
        """Begin to listen."""
        self._patches.wrap(Connection, "_handle_dbapi_exception", self._around)

    def remove(self) -> None:
        """Put back what was changed."""
        self._patches.remove()

    def _around(self, original: Callable[..., Any]) -> Callable[..., Any]:
        heard = self._heard

        def _handle_dbapi_exception(
            connection: Any,
            error: BaseException,
            statement: Any,
            parameters: Any,
            cursor: Any,
            context: Any,
            *args: Any,
            **kwargs: Any,
        ) -> Any:
            heard(connection, context, error, statement)
            return original(connection, error, statement, parameters, cursor, context, *args, **kwargs)

        return _handle_dbapi_exception

    @guarded
    def _heard(self, connection: Any, execution: Any, error: BaseException, statement: str | None) -> None:
        if execution is None or not self._recorder.active:
            return
        # As SQLAlchemy does with the event: what fails while an error is told is none of its own.
        if connection._reentrant_error or connection._execution_options.get("skip_user_error_events", False):
            return
        self._note(execution, error)
        if statement is None:  # errors of statements are on their spans
            self._tell(execution, error)

    @guarded
    def _note(self, execution: Any, error: BaseException) -> None:
        unit = unit_of(execution.root_connection)
        if unit is not None:
            unit.error = told_of(error)[names.ERROR_TYPE]
            if comes_from_server(error):
                unit.failed_at = unit.statements

    @guarded
    def _tell(self, execution: Any, error: BaseException) -> None:
        context = get_current()
        target = dialects.target_of(execution.dialect, self._recorder)
        if target is None or getattr(execution, FAILED, None) == id(error):
            return
        if not self._recorder.takes(execution, context):
            return
        identity = here.current(context)
        get_logger(SCOPE, logger_provider=self._logger_provider).emit(
            timestamp=time_ns(),
            context=context,
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            event_name=names.EVENT_DB_CLIENT_OPERATION_EXCEPTION,
            attributes={
                **target.prepared(execution.statement, execution).span,
                **told_of(error),
                names.EXCEPTION_TYPE: failures.type_name(error),
                names.EXCEPTION_MESSAGE: failures.message(error),
                **(identity.attributes if identity else {}),
            },
        )
