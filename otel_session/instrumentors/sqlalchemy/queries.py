"""One CLIENT span and one duration for each statement that an engine sends (feature F2, first half).

A wrapped `do_execute` times the driver's call alone and sees the driver's own exception. What does not change is
worked out once for each engine and statement. Semantic conventions: database client spans and metrics.
"""

from __future__ import annotations

import sys
from time import time_ns
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import SeverityNumber, get_logger
from opentelemetry.context import Context, get_current
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import SpanKind, Status, StatusCode

from otel_session import attributes as names
from otel_session import context as here
from otel_session import failures
from otel_session._guard import guarded, report
from otel_session.instrumentors._base import DropRule
from otel_session.instrumentors.sqlalchemy.statements import MAX_TEXT_CHARS, read
from otel_session.instrumentors.sqlalchemy.targets import Attributes, target_of, with_connection

SCOPE = "otel_session.sqlalchemy"
_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)  # advised by semconv for this metric
_STATEMENTS_MOST = 500
_OFFICIAL = "opentelemetry.instrumentation.sqlalchemy"
_FAILED = "_otel_session_failed"

_ERROR = Status(StatusCode.ERROR)


class Prepared:
    """A statement's static part: the span's name and attributes, and the metric's attributes."""

    __slots__ = ("metric", "name", "span")

    def __init__(self, name: str, span: Attributes, metric: Attributes) -> None:
        self.name, self.span, self.metric = name, span, metric


class Started:
    """A statement on its way."""

    __slots__ = ("context", "prepared", "span", "start_ns")

    def __init__(self, prepared: Prepared, context: Context, span: Any, start_ns: int) -> None:
        self.prepared, self.context, self.span, self.start_ns = prepared, context, span, start_ns


class Target:
    """One engine's static part, and its statements' (at most 1,000, in two generations; the older is dropped whole)."""

    __slots__ = ("_attributes", "_old", "_young")

    def __init__(self, attributes: Attributes | None = None) -> None:
        self._attributes = attributes
        self._young: dict[str, Prepared] = {}
        self._old: dict[str, Prepared] = {}

    def prepared(self, statement: str, execution: Any) -> Prepared:
        """The static part of a statement, made at its first sight."""
        found = self._young.get(statement)
        if found is not None:
            return found
        found = self._old.get(statement) or self._prepare(statement, execution)
        if len(statement) <= MAX_TEXT_CHARS:
            if len(self._young) >= _STATEMENTS_MOST:
                self._old, self._young = self._young, {}
            self._young[statement] = found
        return found

    def _prepare(self, statement: str, execution: Any) -> Prepared:
        static = self._attributes
        if static is None:
            static = target_of(execution.engine)
            if names.SERVER_ADDRESS not in static and static[names.DB_SYSTEM_NAME] == "postgresql":
                static = with_connection(static, execution.root_connection.connection)
            self._attributes = static
        known = read(statement, str(static[names.DB_SYSTEM_NAME]))
        metric: Attributes = dict(static)
        if known.operation:
            metric[names.DB_OPERATION_NAME] = known.operation
        if len(known.tables) == 1:
            metric[names.DB_COLLECTION_NAME] = known.tables[0]
        span = {**metric, names.DB_QUERY_TEXT: known.text}
        if known.summary:
            span[names.DB_QUERY_SUMMARY] = known.summary
        return Prepared(
            known.summary or str(static.get(names.DB_NAMESPACE, static[names.DB_SYSTEM_NAME])), span, metric
        )


class QueryRecorder:
    """Makes the spans and the metric. One for the process; safe from any thread."""

    def __init__(self, tracer_provider: Any = None, meter_provider: Any = None, logger_provider: Any = None) -> None:
        self.active = True
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        self._rule = DropRule(self._tracer)
        self._logger_provider = logger_provider
        self._duration = metrics.get_meter(SCOPE, meter_provider=meter_provider).create_histogram(
            names.METRIC_DB_CLIENT_OPERATION_DURATION,
            unit="s",
            description="Duration of database client operations.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )

    def start(self, target: Target, statement: str, execution: Any, sets: int) -> Started | None:
        """Begin a statement, or None when it is not ours to record. Never raises."""
        if not self.active:
            return None
        try:
            context = get_current()
            if not is_instrumentation_enabled() or here.is_quiet(context) or _official_records(execution):
                return None
            prepared = target.prepared(statement, execution)
            if self._rule.drops(context):
                return Started(prepared, context, None, time_ns())
            identity = here.current(context)
            attributes = {**prepared.span, **identity.attributes} if identity else dict(prepared.span)
            if sets > 1:
                attributes[names.DB_OPERATION_BATCH_SIZE] = sets
            start_ns = time_ns()
            span = self._tracer.start_span(
                prepared.name, context, SpanKind.CLIENT, attributes=attributes, start_time=start_ns
            )
            return Started(prepared, context, span, start_ns)
        except Exception:
            report("QueryRecorder.start")
            return None

    def finish(self, started: Started, execution: Any, error: BaseException | None) -> None:
        """End a statement. Never raises."""
        try:
            end_ns = time_ns()
            attributes = started.prepared.metric
            if error is not None:
                attributes = {**attributes, **_told(error)}
                if execution is not None:
                    setattr(execution, _FAILED, id(error))  # the error itself would close a reference cycle
            span = started.span
            if span is not None:
                if error is not None:
                    span.set_attributes(_told(error))
                    span.set_status(_ERROR)
                span.end(end_ns)
                context = trace.set_span_in_context(span, started.context)
            else:
                context = started.context
            self._duration.record((end_ns - started.start_ns) / 1e9, attributes, context=context)
        except Exception:
            report("QueryRecorder.finish")

    def handle_error(self, failure: Any) -> None:
        """SQLAlchemy's `handle_error`: tell of errors that came while fetching, after the statement was recorded."""
        self._fetch_failed(failure)

    @guarded
    def _fetch_failed(self, failure: Any) -> None:
        execution, error = failure.execution_context, failure.original_exception
        if not self.active or execution is None or failure.statement is not None:
            return
        if getattr(execution, _FAILED, None) == id(error) or not is_instrumentation_enabled():
            return
        identity = here.current()
        get_logger(SCOPE, logger_provider=self._logger_provider).emit(
            timestamp=time_ns(),
            context=get_current(),
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            event_name=names.EVENT_DB_CLIENT_OPERATION_EXCEPTION,
            attributes={
                **target_of(execution.engine),
                **_told(error),
                names.EXCEPTION_TYPE: failures.type_name(error),
                **(identity.attributes if identity else {}),
            },
        )


def _told(error: BaseException) -> dict[str, str]:
    """What may be said of an error: its type and the database's code. Its message carries values."""
    code = failures.status_code(error)
    told = {names.ERROR_TYPE: failures.type_name(error)}
    return {**told, names.DB_RESPONSE_STATUS_CODE: code} if code else told


def _official_records(execution: Any) -> bool:
    """Whether the official instrumentation makes this engine's query spans; asked anew, since it may come later."""
    if _OFFICIAL not in sys.modules:
        return False
    for listener in execution.engine.dispatch.before_cursor_execute:
        owner = getattr(listener, "__self__", None)
        if owner is not None and type(owner).__module__.startswith(_OFFICIAL):
            return True
    return False
