"""The pipeline's own metrics: what waits, what was delivered, what was dropped and why, under OpenTelemetry's names."""

import re
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.semconv._incubating.metrics import otel_metrics

from otel_session import attributes as names
from tests.pipeline.far_end import OK, Answer, far_end
from tests.pipeline.made import exporter_to, made

TELEMETRY_PAGE = Path(__file__).parents[2] / "docs" / "telemetry.md"
OURS = [name for _, *found in names.SELF_METRICS for name in found if name] + [
    names.METRIC_SELF_EXPORT_DURATION,
    names.METRIC_SELF_QUEUE_USAGE,
    names.METRIC_SELF_QUEUE_LIMIT,
    names.METRIC_SELF_RESENT,
]


def read(reader: InMemoryMetricReader) -> dict[str, dict[str, Any]]:
    """Value, or count, of each point by metric and `error.type`."""
    found: dict[str, dict[str, Any]] = {}
    data = reader.get_metrics_data()
    assert data is not None
    for scope in data.resource_metrics[0].scope_metrics:
        for metric in scope.metrics:
            for point in metric.data.data_points:
                value = getattr(point, "value", None)
                by_error = found.setdefault(metric.name, {})
                by_error[str(point.attributes.get("error.type", ""))] = point.count if value is None else value
    return found


def test_figures() -> None:
    """Delivered, refused, waiting, repeated and dropped spans are there with their numbers and reasons."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    settings = {"queue_max_bytes": 1 << 20}
    with far_end() as end, made(exporter_to(end.url, timeout_s=0.3), linger_s=30, **settings) as ours:
        ours.pipeline.take_metrics(provider)
        ours.spans(10)
        ours.provider.force_flush()
        end.answer = Answer(400)
        ours.spans(4)
        ours.provider.force_flush()
        end.answer = Answer(how="never")
        ours.spans(3)
        ours.provider.force_flush()
        figures = read(reader)
        assert figures["otel.sdk.processor.span.queue.size"] == {"": 3}
        assert figures["otel.sdk.exporter.span.exported"] == {"": 10, "400": 4}
        assert figures["otel.sdk.processor.span.processed"] == {"": 17}
        assert figures["otel.sdk.exporter.operation.duration"] == {"": 1, "400": 1, "ReadTimeout": 1}
        assert 0 < figures["otel_session.queue.usage"][""] < figures["otel_session.queue.limit"][""] == 1 << 20
        end.answer = OK
        ours.provider.force_flush()
        assert read(reader)["otel_session.exporter.resent"][""] >= 3
        for _ in range(12):
            ours.spans(1_000)
    processed = read(reader)["otel.sdk.processor.span.processed"]
    assert processed[""] + processed.get("queue_full", 0) == 12_017
    assert read(reader)["otel.sdk.processor.span.queue.size"] == {"": 0}


def test_names_are_the_registrys() -> None:
    """The names with OpenTelemetry's prefix are in its registry."""
    known = {value for value in vars(otel_metrics).values() if isinstance(value, str)}
    assert {name for name in OURS if name.startswith("otel.")} <= known


@pytest.mark.parametrize("name", OURS)
def test_documented(name: str) -> None:
    """Each of them is on the page of what is sent."""
    assert re.search(rf"`{re.escape(name)}`", TELEMETRY_PAGE.read_text())
