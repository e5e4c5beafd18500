"""Ids onto whatever pipeline there is, and off again: processors, propagators."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry._logs import get_logger_provider
from opentelemetry.instrumentation.propagators import (
    get_global_response_propagator,
    set_global_response_propagator,
)
from opentelemetry.metrics import Observation, get_meter, get_meter_provider
from opentelemetry.propagators.composite import CompositePropagator

from otel_session import attributes as names
from otel_session import config, events, tallies
from otel_session._by_identity import ByIdentity
from otel_session._guard import guarded, report
from otel_session.build_stamp import BuildStampDetector
from otel_session.processors import IdentityLogProcessor, IdentitySpanProcessor
from otel_session.propagators import BothResponsePropagators, SessionPropagator, SessionResponsePropagator

_log = logging.getLogger("otel_session")
_undo: list[Any] = []
_undo_of: dict[str, Any] = {}
"""What was handed on last: a script of Streamlit's says the same on each run, and `_undo` must not grow by it."""


def is_on() -> bool:
    """Whether anything of ours has been added."""
    return bool(_undo)


def activate(*, tracer_provider: Any = None, meter_provider: Any = None, logger_provider: Any = None) -> None:
    """Add our processors and propagators where they are missing. Calling it again changes nothing."""
    _add_span_processor(tracer_provider or trace.get_tracer_provider())
    _add_log_processor(logger_provider or get_logger_provider())
    if logger_provider is not None and _undo_of.get("events") is not logger_provider:
        _undo_of["events"] = logger_provider
        events.use_provider(logger_provider)
        _undo.append(lambda: events.use_provider(None))
    given = (tracer_provider, meter_provider)
    if given != (None, None) and _undo_of.get("operations") != given:
        _undo_of["operations"] = given
        from otel_session import operations  # most applications use none, and providers are seldom given

        operations.use_providers(tracer_provider, meter_provider)
        _undo.append(operations.use_providers)
    _add_propagator()
    _add_response_propagator()
    _count_refusals(meter_provider)
    _watch_log_lines()


def deactivate() -> None:
    """Take everything off that `activate` put on."""
    _undo_of.clear()
    operations = sys.modules.get("otel_session.operations")
    if operations is not None:  # what they count is read no more
        _undo.append(operations.use_providers)
    while _undo:
        try:
            _undo.pop()()
        except Exception:
            report("deactivate")


@guarded
def _add_span_processor(provider: Any) -> None:
    if not hasattr(provider, "add_span_processor"):
        return
    multi = getattr(provider, "_active_span_processor", None)
    present = getattr(multi, "_span_processors", ())
    if any(isinstance(p, IdentitySpanProcessor) for p in present):
        return
    ours = IdentitySpanProcessor()
    provider.add_span_processor(ours)

    def remove() -> None:
        if multi is not None:
            multi._span_processors = tuple(p for p in multi._span_processors if p is not ours)

    _undo.append(remove)


@guarded
def _add_log_processor(provider: Any) -> None:
    if not hasattr(provider, "add_log_record_processor"):
        return
    multi: Any = getattr(provider, "_multi_log_record_processor", None)
    present = getattr(multi, "_log_record_processors", None)
    if present is not None and any(isinstance(p, IdentityLogProcessor) for p in present):
        return
    ours = IdentityLogProcessor()
    if present is None:
        provider.add_log_record_processor(ours)
        return
    # To the front: a simple processor exports at once, before one behind it adds anything.
    multi._log_record_processors = (ours, *present)

    def remove() -> None:
        multi._log_record_processors = tuple(p for p in multi._log_record_processors if p is not ours)

    _undo.append(remove)


@guarded
def _add_propagator() -> None:
    before = propagate.get_global_textmap()
    if config.environment().get("OTEL_PROPAGATORS", "").strip().lower() == "none":
        return
    if any(isinstance(p, SessionPropagator) for p in getattr(before, "_propagators", (before,))):
        return
    ours = CompositePropagator([before, SessionPropagator()])
    propagate.set_global_textmap(ours)

    def remove() -> None:
        if propagate.get_global_textmap() is ours:
            propagate.set_global_textmap(before)

    _undo.append(remove)


@guarded
def _add_response_propagator() -> None:
    before = get_global_response_propagator()  # type: ignore[no-untyped-call]
    if isinstance(before, SessionResponsePropagator | BothResponsePropagators):
        return
    ours = SessionResponsePropagator() if before is None else BothResponsePropagators(before)
    set_global_response_propagator(ours)  # type: ignore[no-untyped-call]

    def remove() -> None:
        if get_global_response_propagator() is ours:  # type: ignore[no-untyped-call]
            set_global_response_propagator(before)  # type: ignore[no-untyped-call]

    _undo.append(remove)


@guarded
def _watch_log_lines() -> None:
    form = config.active().log_format
    if form == "off":
        return
    from otel_session import logs

    off = logs.switch_on(form)
    if off is not None:
        _undo.append(off)


# OpenTelemetry has no way to take an instrument off a provider again.
_counted: ByIdentity[bool] = ByIdentity()


@guarded
def _count_refusals(provider: Any) -> None:
    meters = get_meter_provider() if provider is None else provider
    if _counted.get(meters):
        return
    _counted.put(meters, True)

    def observe(_options: Any) -> Iterable[Observation]:
        return [Observation(count, {names.REFUSED_SOURCE: source}) for source, count in tallies.refused().items()]

    get_meter("otel_session", meter_provider=meters).create_observable_counter(
        names.METRIC_REFUSED,
        callbacks=[observe],
        unit="{value}",
        description="Inbound ids that were ignored because of their length, characters or form.",
    )


def mention_build_stamp() -> None:
    """Say how the build stamp gets onto a resource that somebody else made, if it is not on it."""
    resource = getattr(trace.get_tracer_provider(), "resource", None)
    if resource is None or names.VCS_REF_HEAD_REVISION in resource.attributes:
        return
    if names.VCS_REF_HEAD_REVISION not in BuildStampDetector().detect().attributes:
        return
    _log.warning(
        "The build stamp is not on the telemetry: its resource was made before us. Set "
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS=otel_session_build,otel (or name the detector in OTEL_CONFIG_FILE)."
    )
