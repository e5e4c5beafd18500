"""Which of the captured spans a test is about."""

from opentelemetry.sdk.trace import ReadableSpan

from otel_session import attributes as names
from otel_session import testing


def but_connects(telemetry: testing.Captured) -> list[ReadableSpan]:
    """The spans that have ended, in that order, without those of new connections."""
    return [span for span in telemetry.spans() if span.name != names.SPAN_CONNECT]
