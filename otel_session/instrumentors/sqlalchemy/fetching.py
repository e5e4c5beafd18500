"""Errors that come while rows are fetched: the statement has been recorded by then, so they become an event.

Semantic conventions: `db.client.operation.exception`.
"""

from __future__ import annotations

from time import time_ns
from typing import Any

from opentelemetry._logs import SeverityNumber, get_logger
from opentelemetry.context import get_current

from otel_session import attributes as names
from otel_session import context as here
from otel_session import failures
from otel_session._guard import guarded
from otel_session.instrumentors.sqlalchemy import dialects
from otel_session.instrumentors.sqlalchemy.queries import FAILED, SCOPE, QueryRecorder, told_of


class FetchErrors:
    """The listener of SQLAlchemy's `handle_error`."""

    def __init__(self, recorder: QueryRecorder, logger_provider: Any = None) -> None:
        self._recorder = recorder
        self._logger_provider = logger_provider

    def handle_error(self, failure: Any) -> None:
        """Called by SQLAlchemy for each error of a driver; errors of statements are on their spans."""
        if failure.statement is None and failure.execution_context is not None:
            self._tell(failure.execution_context, failure.original_exception)

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
