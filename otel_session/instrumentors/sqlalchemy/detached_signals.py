"""What is told of detached instances: one counter, one log event, and a span and a duration for each recovery."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, time_ns
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry._logs import SeverityNumber, get_logger
from opentelemetry.context import get_current
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from otel_session import attributes as names
from otel_session import context as here
from otel_session import failures
from otel_session._guard import guarded
from otel_session._version import __version__
from otel_session.instrumentors.sqlalchemy.advice import RAISED, Read
from otel_session.instrumentors.sqlalchemy.places import current_place
from otel_session.instrumentors.sqlalchemy.queries import SCOPE
from otel_session.instruments import Measured
from otel_session.tallies import Metric

_RECOVERY = Metric(
    SCOPE,
    names.METRIC_DETACHED_INSTANCE_RECOVERY_DURATION,
    "s",
    "Duration of the recoveries of attributes that were read without an ORM session.",
    (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0),
)


class Attempt:
    """A recovery on its way; whoever makes it says here how it went.

    Attributes:
        outcome: What the application gets.
        reason: Why it gets its own exception, None otherwise.
        error: What went wrong in recovering, None otherwise.
    """

    def __init__(self) -> None:
        self.outcome = RAISED
        self.reason: str | None = None
        self.error: BaseException | None = None


class DetachedSignals:
    """Makes them. Safe from any thread. Nothing is told where instrumentation is suppressed."""

    def __init__(self, tracer_provider: Any = None, meter_provider: Any = None, logger_provider: Any = None) -> None:
        self._tracer = trace.get_tracer(SCOPE, __version__, tracer_provider=tracer_provider)
        meter = metrics.get_meter(SCOPE, __version__, meter_provider=meter_provider)
        self._reads = meter.create_counter(
            names.METRIC_DETACHED_INSTANCE_READS,
            "{read}",
            "Attributes that were read without an ORM session to load them.",
        )
        self._duration = Measured(_RECOVERY, meter_provider)
        self._logger_provider = logger_provider

    @guarded
    def read(self, read: Read, outcome: str, reason: str | None, error: BaseException | None) -> None:
        """Count and tell a read.

        Args:
            read: What was read.
            outcome: What the application got.
            reason: Why it was not recovered, if that was tried or would have been.
            error: The exception that the application gets, or would have got.
        """
        context = get_current()
        if here.is_quiet(context) or not is_instrumentation_enabled():
            return
        about = {**_named(read), names.DETACHED_INSTANCE_OUTCOME: outcome}
        self._reads.add(1, about, context)
        identity = here.current(context)
        get_logger(SCOPE, logger_provider=self._logger_provider).emit(
            timestamp=time_ns(),
            context=context,
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            event_name=names.EVENT_DETACHED_INSTANCE,
            body=read.explanation(outcome, reason),
            attributes={**about, **_told(read, reason, error), **(identity.attributes if identity else {})},
        )

    @contextmanager
    def recovery(self, read: Read, strategy: str) -> Iterator[Attempt]:
        """Time a recovery, in a span that is current meanwhile; its status stays unset."""
        attempt, context = Attempt(), get_current()
        if here.is_quiet(context) or not is_instrumentation_enabled():
            yield attempt
            return
        identity = here.current(context)
        about = {**_named(read), names.DETACHED_INSTANCE_STRATEGY: strategy}
        span = self._tracer.start_span(
            names.SPAN_DETACHED_INSTANCE_RECOVER,
            context,
            attributes={**about, **(identity.attributes if identity else {})},
        )
        inside = trace.set_span_in_context(span, context)
        token, began_s = otel_context.attach(inside), perf_counter()
        try:
            yield attempt
        finally:
            seconds = perf_counter() - began_s
            otel_context.detach(token)
            about[names.DETACHED_INSTANCE_OUTCOME] = attempt.outcome
            span.set_attributes(_ended(attempt))
            span.end()
            self._duration.series(about).add(seconds, inside, notable=attempt.reason is not None)

    @guarded
    def reattached(self, model: str, outcome: str, seconds: float) -> None:
        """Count a `reattach()`; its outcome is recovered or refused."""
        about = {
            names.DETACHED_INSTANCE_MODEL: model,
            names.DETACHED_INSTANCE_STRATEGY: "reattach",
            names.DETACHED_INSTANCE_OUTCOME: outcome,
        }
        self._duration.series(about).add(seconds, get_current())


def _named(read: Read) -> dict[str, str]:
    return {
        names.DETACHED_INSTANCE_MODEL: read.model,
        names.DETACHED_INSTANCE_ATTRIBUTE: read.attribute,
        names.DETACHED_INSTANCE_KIND: read.kind,
    }


def _told(read: Read, reason: str | None, error: BaseException | None) -> dict[str, str | int]:
    told: dict[str, str | int] = {names.DETACHED_INSTANCE_SUGGESTION: read.suggestion}
    if read.end:
        told[names.DETACHED_INSTANCE_ORM_SESSION_END] = read.end
    if read.ended_at is not None:
        told[names.DETACHED_INSTANCE_ORM_SESSION_ENDED_AT] = str(read.ended_at)
    if reason is not None:
        told[names.DETACHED_INSTANCE_REASON] = reason
    if error is not None:
        told[names.ERROR_TYPE] = failures.type_name(error)
    place = current_place()
    if place is not None:
        told[names.CODE_FILE_PATH] = place.path
        told[names.CODE_LINE_NUMBER] = place.line
        told[names.CODE_FUNCTION_NAME] = place.function
    return told


def _ended(attempt: Attempt) -> dict[str, str]:
    told = {names.DETACHED_INSTANCE_OUTCOME: attempt.outcome}
    if attempt.reason is not None:
        told[names.DETACHED_INSTANCE_REASON] = attempt.reason
    if attempt.error is not None:
        told[names.ERROR_TYPE] = failures.type_name(attempt.error)
    return told
