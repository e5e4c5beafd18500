"""When no span is made: unsampled traces, quiet contexts, suppressed instrumentation."""

from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased
from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool

import otel_session
from otel_session import context as here
from otel_session import testing
from tests.spans import but_connects

DURATION = "db.client.operation.duration"


def _run(telemetry: testing.Captured, context: Any = None) -> tuple[int, int]:
    """Execute one statement; how many spans were exported and durations counted."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    otel_session.instrument(**telemetry.providers)
    token = otel_context.attach(context if context is not None else otel_context.get_current())
    try:
        with engine.connect() as connection:
            connection.execute(text("select 1"))
    finally:
        otel_context.detach(token)
        otel_session.uninstrument()
    spans = but_connects(telemetry)
    assert len(telemetry.spans()) == 2 * len(spans)  # the connection has one where the statement has
    return len(spans), sum(p.count for p in telemetry.points(DURATION))


def _parent(*, sampled: bool, remote: bool) -> Any:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if sampled else trace.TraceFlags.DEFAULT)
    span = trace.NonRecordingSpan(trace.SpanContext(0xA1, 0xB2, remote, flags))
    return trace.set_span_in_context(span)


@pytest.mark.parametrize(
    ("sampler", "parent", "spans"),
    [
        (ALWAYS_OFF, None, 0),
        (ParentBased(ALWAYS_OFF), None, 0),
        (ParentBased(ALWAYS_ON), {"sampled": False, "remote": False}, 0),
        (ParentBased(ALWAYS_ON), {"sampled": False, "remote": True}, 0),
        (ParentBased(ALWAYS_ON), {"sampled": True, "remote": True}, 1),
        (ALWAYS_ON, {"sampled": False, "remote": False}, 1),
        (TraceIdRatioBased(0.0), None, 0),
        (ParentBased(ALWAYS_OFF, local_parent_not_sampled=ALWAYS_ON), {"sampled": False, "remote": False}, 1),
    ],
)
def test_the_sampler_decides_spans_and_the_metric_counts_all(sampler: Any, parent: Any, spans: int) -> None:
    """No span where the sampler says so; the duration is counted all the same."""
    with testing.captured(sampler) as telemetry:
        assert _run(telemetry, _parent(**parent) if parent else None) == (spans, 1)


def test_nothing_in_a_quiet_context() -> None:
    """A request excluded by its URL has neither spans nor durations."""
    with testing.captured() as telemetry:
        assert _run(telemetry, here.quiet()) == (0, 0)


def test_nothing_while_instrumentation_is_suppressed() -> None:
    """`suppress_instrumentation()` and the plain key that older versions set."""
    with testing.captured() as telemetry:
        with suppress_instrumentation():
            assert _run(telemetry) == (0, 0)
        assert _run(telemetry, otel_context.set_value("suppress_instrumentation", True)) == (0, 0)
