"""An operation as a span and as two metrics; nothing where instrumentation is suppressed or the URL is excluded."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from otel_session import attributes as names
from otel_session import config, failures, masking
from otel_session import context as here
from otel_session._version import __version__
from otel_session.context import Identity
from otel_session.operations._counts import SCOPE, Counts
from otel_session.wire.entries import Dropped, EntryMaker, EntrySpan, Part
from otel_session.wire.parts import IdsPart
from otel_session.wire.short_way import ShortWay

_MOST_TOLD = 48


class Signals:
    """Makes the spans, and counts. Safe from any thread."""

    def __init__(self, tracer_provider: Any = None, meter_provider: Any = None) -> None:
        self._tracer = trace.get_tracer(SCOPE, __version__, tracer_provider=tracer_provider)
        self._entries = EntryMaker(ShortWay(self._tracer))
        self.counts = Counts(meter_provider)

    @staticmethod
    def listens(context: Context) -> bool:
        """Whether anything is to be told here."""
        return context.get(here.QUIET) is None and is_instrumentation_enabled()

    def start(self, name: str, identity: Identity, told: Mapping[str, Any], context: Context) -> Span | None:
        """The operation's span; None where its request is not sampled: then the request's own span stays current."""
        if type(here.span_in(context)) is Dropped:
            return None
        about = {names.OPERATION_NAME: name, **_flat(told)}

        def parts() -> tuple[Part, ...]:
            return IdsPart(identity), Part(about)

        made = self._entries.start(name, SpanKind.INTERNAL, context, parts, identity.session_id, confirmed=False)
        if made is None:
            made = self._tracer.start_span(name, context, attributes={**about, **identity.attributes})
        return made  # type: ignore[no-any-return]

    @staticmethod
    def finish(span: Span, told: Mapping[str, Any], outcome: str, error: BaseException | None) -> None:
        """End the span.

        Args:
            span: From `start`.
            told: Metadata that was added or changed meanwhile.
            outcome: How it ended; only a failed one gets the status Error.
            error: What it ended with, None when it completed.
        """
        try:
            if type(span) is not Dropped and span.is_recording():
                _describe(span, told, outcome, error)
        finally:
            span.end()


def _flat(told: Mapping[str, Any]) -> dict[str, Any]:
    # No more than every span may have whose limits are the default ones.
    return dict(islice(masking.flat_attributes(names.OPERATION_METADATA, told).items(), _MOST_TOLD)) if told else {}


def _describe(span: Span, told: Mapping[str, Any], outcome: str, error: BaseException | None) -> None:
    about = _flat(told)
    about[names.OPERATION_OUTCOME] = outcome
    if error is not None:
        about[names.ERROR_TYPE] = failures.type_name(error)
    if type(span) is EntrySpan and not told:
        span.tell(Part(about))
    else:
        span.set_attributes(about)
    if error is not None and outcome == names.OPERATION_FAILED:
        _tell_error(span, error)


def _tell_error(span: Any, error: BaseException) -> None:
    message = failures.message(error)
    span.set_status(Status(StatusCode.ERROR, message))
    if config.exception_events():
        span.add_event(
            names.EVENT_EXCEPTION,
            {
                names.EXCEPTION_TYPE: failures.type_name(error),
                names.EXCEPTION_MESSAGE: message,
                names.EXCEPTION_STACKTRACE: failures.stacktrace(error),
            },
        )
