"""Metrics: our bytes against the official encoder's, for what real instruments recorded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics as encode_officially
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, Counter, Exemplar, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    InMemoryMetricReader,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import use_span

from otel_session import wire
from otel_session.wire import encode_metrics, frame_request

from . import strategies as our
from .official import canonical

DELTA = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}
numbers = st.one_of(st.integers(0, 10**6), st.floats(0, 1e9))
signed = st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e9, 1e9))
plain = st.dictionaries(
    st.sampled_from("abc"), st.one_of(our.texts, st.booleans(), st.integers(0, 5), st.floats(0, 2)), max_size=2
)
measured = st.lists(st.tuples(numbers, plain), min_size=1, max_size=4)


def our_request(data: MetricsData) -> bytes:
    request = frame_request((metric.origin, [metric.body]) for metric in encode_metrics(data))
    return canonical(ExportMetricsServiceRequest.FromString(request))


def official_request(data: MetricsData) -> bytes:
    return canonical(encode_officially(data))


def record_all(draw, meter) -> None:
    counter = meter.create_counter("requests", "1", "How many requests.")
    active = meter.create_up_down_counter("active", "{request}")
    gauge = meter.create_gauge("level", "By", "Ünïcödé")
    histogram = meter.create_histogram("duration", "s", "How long.", explicit_bucket_boundaries_advisory=[0.1, 1, 10])
    exponential = meter.create_histogram("exponential", "s")
    for value, attributes in draw(measured):
        counter.add(value, attributes)
        histogram.record(value, attributes)
    for value, attributes in draw(st.lists(st.tuples(signed, plain), max_size=4)):
        active.add(value, attributes)
        gauge.set(value, attributes)
        exponential.record(value, attributes)


@our.fewer
@given(st.data(), our.resources, st.sampled_from([{}, DELTA]))
def test_what_real_instruments_recorded_decodes_to_what_the_official_encoder_gives(data, resource, temporality):
    """Sums, gauges, both kinds of histogram, exemplars, temporality, units and times are sent as officially."""
    reader = InMemoryMetricReader(preferred_temporality=temporality)
    view = View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation(max_size=8))
    provider = MeterProvider(
        [reader],
        resource=resource,
        exemplar_filter=AlwaysOnExemplarFilter(),
        shutdown_on_exit=False,
        views=[view, View(instrument_name="requests", attribute_keys={"a"})],
    )
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("tests")
    with tracer.start_as_current_span("a span for exemplars to lead to"):
        for name in data.draw(st.sampled_from([["m1"], ["m1", "m2"]])):
            record_all(data.draw, provider.get_meter(name, "1.0", "https://example.org/schema", {"scope": name}))
    collected = reader.get_metrics_data()
    provider.shutdown()
    assert our_request(collected) == official_request(collected)


def collect(record, **settings: object) -> list[pb.Metric]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], resource=Resource({}), shutdown_on_exit=False, **settings)
    record(provider.get_meter("tests"))
    data = reader.get_metrics_data()
    provider.shutdown()
    return [pb.Metric.FromString(metric.body) for metric in encode_metrics(data)]


def test_an_exemplar_leads_to_its_span():
    """An exemplar carries the ids of the span that was current, and what a view took off its attributes."""
    view = View(instrument_name="n", attribute_keys={"kept"})
    span = TracerProvider(shutdown_on_exit=False).get_tracer("tests").start_span("s")

    def record(meter):
        with use_span(span):
            meter.create_counter("n").add(2, {"kept": 1, "taken": "x"})

    (metric,) = collect(record, views=[view], exemplar_filter=AlwaysOnExemplarFilter())
    (exemplar,) = metric.sum.data_points[0].exemplars
    assert exemplar.trace_id == span.get_span_context().trace_id.to_bytes(16, "big")
    assert exemplar.span_id == span.get_span_context().span_id.to_bytes(8, "big")
    assert [pair.key for pair in exemplar.filtered_attributes] == ["taken"]
    assert exemplar.as_int == 2


def test_each_metric_comes_with_its_origin_and_name():
    """A collection gives its metrics one by one, in order, each with the resource and scope it belongs to."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], resource=Resource({"r": 1}, "https://r"), shutdown_on_exit=False)
    for scope, name in (("one", "a"), ("one", "b"), ("two", "c")):
        provider.get_meter(scope, schema_url="https://s").create_counter(name).add(1)
    encoded = encode_metrics(reader.get_metrics_data())
    provider.shutdown()
    assert [metric.name for metric in encoded] == ["a", "b", "c"]
    assert encoded[0].origin is encoded[1].origin != encoded[2].origin
    assert encoded[2].origin.resource_schema_url == "https://r"
    assert encoded[2].origin.scope_schema_url == "https://s"


def data_of(*metrics: Metric) -> MetricsData:
    scope = ScopeMetrics(InstrumentationScope("s"), metrics, "")
    return MetricsData([ResourceMetrics(Resource({}), [scope], "")])


def point(value: float, **fields: object) -> NumberDataPoint:
    return NumberDataPoint(
        **{"attributes": {}, "start_time_unix_nano": 1, "time_unix_nano": 2, "value": value, **fields}
    )


def sent(*points: NumberDataPoint) -> pb.Metric:
    data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    (metric,) = encode_metrics(data_of(Metric("m", None, None, data)))
    return pb.Metric.FromString(metric.body)


@pytest.mark.parametrize("value", [0, 0.0, -0.0, 2**63 - 1, -(2**63), float("nan"), float("inf"), 5e-324])
@pytest.mark.parametrize("kind", [Gauge, Sum])
def test_values_at_their_bounds_are_sent_as_officially(kind, value):
    """The widest integers, zeros of either sign and kind, NaN and infinity keep what they are."""
    rest = () if kind is Gauge else (AggregationTemporality.DELTA, False)
    data = data_of(Metric("m", "d", "u", kind([point(value)], *rest)))
    assert our_request(data) == official_request(data)


def test_a_metric_without_points_is_sent_as_officially():
    """A metric that has no points, or is of an unknown kind, is sent with its name alone."""
    empty = data_of(Metric("gauge", "", "", Gauge([])), Metric("unknown", "", "", object()))
    assert our_request(empty) == official_request(empty)


@pytest.mark.parametrize("counts", [[], [0], [1, 2]])
def test_buckets_and_flags_of_an_exponential_histogram_are_sent_as_officially(counts):
    """A side without buckets is left out, one with is not; flags and the scale are kept."""
    odd = ExponentialHistogramDataPoint(
        attributes={"a": 1},
        start_time_unix_nano=1,
        time_unix_nano=2,
        count=3,
        sum=-1.5,
        scale=-3,
        zero_count=1,
        positive=Buckets(-7, counts),
        negative=Buckets(0, counts[1:]),
        flags=1,
        min=-1.0,
        max=2.0,
    )
    data = data_of(Metric("m", "", "", ExponentialHistogram([odd], AggregationTemporality.DELTA)))
    assert our_request(data) == official_request(data)


def test_a_sum_beyond_64_bits_is_sent_as_a_double():
    """A counter that outgrew its field stays, less exact, where the official encoder loses the collection."""
    with pytest.raises(Exception, match="out of range"):
        encode_officially(data_of(Metric("m", "", "", Gauge([point(2**63)]))))
    assert sent(point(2**63)).sum.data_points[0].as_double == 2.0**63


def test_a_true_is_sent_as_one():
    """A boolean measurement, an int to Python, is an integer."""
    assert sent(point(True)).sum.data_points[0].as_int == 1


def test_an_odd_point_costs_no_other():
    """A point that fits no message (a time below zero, a value beyond any double) is left out alone."""
    points = sent(point(1), point(2, time_unix_nano=-1), point(10**400), point(4)).sum.data_points
    assert [item.as_int for item in points] == [1, 4]


def test_odd_text_and_attributes_do_not_lose_a_metric():
    """Lone surrogates are replaced in names, units and attributes; an attribute OTLP cannot hold is left out."""
    exemplar = Exemplar({"wide": 2**70, "ok": 1}, 1.5, 3)
    odd = point(1, attributes={"a": "\ud800", "wide": 2**70}, exemplars=[exemplar])
    (encoded,) = encode_metrics(data_of(Metric("n\ud800", "d\ud800", "u\ud800", Gauge([odd]))))
    metric = pb.Metric.FromString(encoded.body)
    assert (encoded.name, metric.name, metric.description, metric.unit) == ("n\ufffd", "n\ufffd", "d\ufffd", "u\ufffd")
    (found,) = metric.gauge.data_points
    assert [(pair.key, pair.value.string_value) for pair in found.attributes] == [("a", "\ufffd")]
    assert [pair.key for pair in found.exemplars[0].filtered_attributes] == ["ok"]
    assert (found.exemplars[0].as_double, found.exemplars[0].trace_id) == (1.5, b"")


WITHOUT_METRICS = """
import sys, types
package = sys.modules["otel_session"] = types.ModuleType("otel_session")
package.__path__ = ["otel_session"]
import otel_session.wire
found = [name for name in sys.modules if name.startswith(("google.protobuf", "opentelemetry.proto"))]
sys.exit(f"imported: {found}" if found else 0)
"""


def test_protobuf_is_not_imported_before_there_is_a_metric():
    """A process that sends no metrics does not wait for protobuf when it starts: these floors do not import it."""
    root = Path(wire.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", WITHOUT_METRICS], cwd=root, timeout=60, check=False)
    assert done.returncode == 0
