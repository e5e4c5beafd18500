"""Reruns as the local store has them."""

from otel_session import attributes as names
from otel_session.store.views import SpanView
from tests.started import Telemetry


def reruns_in(telemetry: Telemetry) -> list[SpanView]:
    """Every rerun's span, in order of start."""
    found = [span for spans in telemetry.spans.values() for span in spans if span.name.startswith(names.SPAN_RERUN)]
    return sorted(found, key=lambda span: span.start_ns)
