"""Tallies: the same metrics as SDK instruments give, or instruments where something else reads them."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from otel_session import context as here
from otel_session import instruments, tallies
from otel_session.exporters import tallied
from otel_session.exporters.local import LocalMetricExporter
from otel_session.instruments import Measured
from otel_session.tallies import Metric, Series, Tally

DURATION = Metric("shop", "shop.duration", "s", "How long.", (0.1, 0.5, 1.0))
LEVEL = Metric("shop", "shop.active", "{request}", "How many.")
MEASURED = [
    (0.1, {"route": "/a"}),
    (0.1000001, {"route": "/a"}),
    (0.0, {"route": "/a"}),
    (7.5, {"route": "/b", "error.type": "ValueError"}),
    (1.0, {"error.type": "ValueError", "route": "/b"}),
    (0.3, {"flag": True}),
    (0.4, {"flag": 1}),
    (0.2, {}),
]


class Kept(LocalMetricExporter):
    """One of ours by its module, as far as the tallies see; keeps what it gets."""

    def __init__(self, **options: Any) -> None:
        MetricExporter.__init__(self, **options)
        self.got: list[MetricsData] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> Any:
        self.got.append(metrics_data)
        return MetricExportResult.SUCCESS


Kept.__module__ = LocalMetricExporter.__module__


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tallies of this test's own."""
    monkeypatch.setattr(tallies, "_tallies", {})
    yield
    instruments.use_tallies(False)


def provider_with(*readers: Any, **options: Any) -> MeterProvider:
    return MeterProvider(readers, resource=Resource({"service.name": "shop"}), shutdown_on_exit=False, **options)


def periodic(exporter: Any) -> PeriodicExportingMetricReader:
    return PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))


def measure(meter_provider: Any = None) -> None:
    duration, level = Measured(DURATION, meter_provider), Measured(LEVEL, meter_provider)
    for value, attributes in MEASURED:
        duration.series(attributes).add(value)
    for change in (1, 1, -1):
        level.series({"method": "GET"}).add(change)
    level.series({"method": "POST"}).add(1)
    level.series({"method": "POST"}).add(-1)


def plain(data: MetricsData) -> dict[str, Any]:
    """Everything that leaves the process, without the times."""
    found: dict[str, Any] = {}
    for of in data.resource_metrics:
        for scope in of.scope_metrics:
            for metric in scope.metrics:
                whole = (
                    metric.description,
                    metric.unit,
                    type(metric.data).__name__,
                    str(getattr(metric.data, "aggregation_temporality", None)),
                )
                points = {repr(sorted(p.attributes.items())): _point(p) for p in metric.data.data_points}
                key = (scope.scope.name, scope.scope.version, scope.schema_url, metric.name)
                found[repr(key)] = (
                    whole,
                    getattr(metric.data, "is_monotonic", None),
                    points,
                    dict(of.resource.attributes),
                )
    return found


def _point(point: Any) -> Any:
    if hasattr(point, "bucket_counts"):
        return point.count, point.sum, list(point.bucket_counts), list(point.explicit_bounds), point.min, point.max
    return point.value


def test_the_same_as_instruments() -> None:
    """Series, buckets, sums, extremes, units, scope, temporality and resource are what SDK instruments give."""
    ours, theirs = Kept(), Kept()
    our_reader, their_reader = periodic(ours), periodic(theirs)
    our_provider, their_provider = provider_with(our_reader), provider_with(their_reader)
    assert tallied.attach(our_provider)
    instruments.use_tallies(True)
    measure()
    instruments.use_tallies(False)
    measure(their_provider)
    our_provider.force_flush()
    their_provider.force_flush()
    assert plain(ours.got[0]) == plain(theirs.got[0])
    assert len(plain(ours.got[0])) == 2


def test_exported_without_any_instrument() -> None:
    """A reader exports tallies also when no SDK instrument has measured anything: at a flush and at the end."""
    exporter = Kept()
    provider = provider_with(periodic(exporter))
    assert tallied.attach(provider)
    assert tallied.attach(provider)  # twice is once
    provider.force_flush()
    assert exporter.got == []
    tallies.tally_of(DURATION).series({}).add(0.2)
    provider.force_flush()
    tallies.tally_of(DURATION).series({}).add(0.2)
    provider.shutdown()
    counts = [_only_point(data).count for data in exporter.got]
    assert counts[0] == 1
    assert counts[1:] in ([2], [])  # a reader without a thread does not collect at its end
    with_thread = PeriodicExportingMetricReader(exporter := Kept(), export_interval_millis=3_600_000)
    provider = provider_with(with_thread)
    tallied.attach(provider)
    provider.shutdown()
    assert _only_point(exporter.got[-1]).count == 2


def _only_point(data: MetricsData) -> Any:
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    return metric.data.data_points[0]


def test_beside_instruments() -> None:
    """What SDK instruments measured leaves in the same collection, a shared scope once."""
    exporter = Kept()
    provider = provider_with(periodic(exporter))
    tallied.attach(provider)
    tallies.tally_of(DURATION).series({}).add(0.2)
    from otel_session._version import __version__

    provider.get_meter("shop", __version__).create_counter("own").add(1)
    provider.get_meter("other").create_counter("other").add(1)
    provider.force_flush()
    (of,) = exporter.got[0].resource_metrics
    assert [(s.scope.name, sorted(m.name for m in s.metrics)) for s in of.scope_metrics] == [
        ("shop", ["own", "shop.duration"]),
        ("other", ["other"]),
    ]


@pytest.mark.parametrize(
    "setting",
    [
        {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "DELTA"},
        {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "LOWMEMORY"},
        {"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram"},
    ],
)
def test_other_forms_need_instruments(setting: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Delta temporality and exponential histograms are measured by SDK instruments; the defaults by tallies."""
    assert tallied.attach(provider_with(periodic(OTLPMetricExporter())))
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    assert not tallied.attach(provider_with(periodic(OTLPMetricExporter())))


def test_foreign_readers_need_instruments() -> None:
    """A reader or exporter of another kind, a view, exemplars of everything: SDK instruments, for all readers."""
    ours = periodic(Kept())
    assert not tallied.attach(provider_with(InMemoryMetricReader()))
    assert not tallied.attach(provider_with(periodic(ConsoleMetricExporter())))
    assert not tallied.attach(provider_with(periodic(Kept()), InMemoryMetricReader()))
    assert not tallied.attach(provider_with(periodic(Kept()), views=[View(instrument_name="shop.*")]))
    assert not tallied.attach(provider_with(periodic(Kept()), exemplar_filter=AlwaysOnExemplarFilter()))
    assert not tallied.attach(provider_with())
    assert not tallied.attach(metrics.NoOpMeterProvider())
    assert not tallied.attach(provider_with(_limited()))
    assert tallied.attach(provider_with(ours))


def _limited() -> Any:
    from opentelemetry.sdk.metrics import Histogram

    return PeriodicExportingMetricReader(Kept(), float("inf"), cardinality_limits={Histogram: 10})


def test_a_private_name_that_has_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what is reached for in the SDK's reader, instruments measure."""
    monkeypatch.setattr(tallied, "_NAMES", (*tallied._NAMES, "_moved"))
    assert not tallied.attach(provider_with(periodic(Kept())))


def context_of(*, sampled: bool) -> Any:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else 0)
    span = NonRecordingSpan(SpanContext(7, 9, is_remote=False, trace_flags=flags))
    return here.put(here.Identity(session_id="a" * 32, correlation_id="c"), set_span_in_context(span))


def test_exemplars() -> None:
    """What is notable and sampled leaves once to each reader, with its session; switched off, nothing does."""
    first, second, third = Kept(), Kept(), Kept()
    two = provider_with(periodic(first), periodic(second))
    off = provider_with(periodic(third), exemplar_filter=AlwaysOffExemplarFilter())
    assert tallied.attach(two)
    assert tallied.attach(off)
    series = tallies.tally_of(DURATION).series({})
    series.add(0.2, context_of(sampled=False), notable=True)
    series.add(0.3, trace.set_span_in_context(trace.INVALID_SPAN), notable=True)
    series.add(3.0, context_of(sampled=True))
    series.add(2.0, context_of(sampled=True), notable=True)
    for provider in (two, two, off):
        provider.force_flush()
    for exporter in (first, second):
        (found,), later = (list(_only_point(data).exemplars) for data in exporter.got)
        assert (found.value, found.trace_id, found.span_id) == (2.0, 7, 9)
        assert found.filtered_attributes == {"session.id": "a" * 32}
        assert later == []
    assert not _only_point(third.got[0]).exemplars


def test_limit_on_series() -> None:
    """Beyond 2,000 attribute sets, what is new is counted together under the specification's attribute."""
    tally = Tally(DURATION)
    threads = [
        threading.Thread(target=lambda n=n: [tally.series({"n": (n, i)}).add(1) for i in range(500)]) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    points = {repr(p.attributes): p.count for p in tally.read()}
    assert len(points) == tallies.MAX_SERIES + 1
    assert points.pop("{'otel.metric.overflow': True}") == 2_000
    assert set(points.values()) == {1}


def test_a_list_for_a_value() -> None:
    """An attribute that is a list makes a series like any other."""
    tally = Tally(DURATION)
    assert tally.series({"n": [1, 2]}) is tally.series({"n": [1, 2]})
    assert tally.series({"n": [1, 2]}) is not tally.series({"n": [1, 3]})


def test_many_threads() -> None:
    """Nothing is lost between threads that count the same."""
    series = Series({}, (0.5,))
    threads = [threading.Thread(target=lambda: [series.add(1.0) for _ in range(5_000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    point = series.read()
    assert point is not None
    assert (point.count, point.total, point.counts) == (40_000, 40_000.0, (0, 40_000))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_begins_at_nothing() -> None:
    """A forked child counts what it does itself, from its own start, also when a lock was taken; its parent goes on."""
    tally = tallies.tally_of(DURATION)
    series = tally.series({"route": "/a"})
    series.add(0.2)
    tallies.count_refused("cookie")
    (before,) = tally.read()
    holder, held = threading.Event(), threading.Event()

    def hold() -> None:
        with series._lock, tallies._lock, tally._lock:
            held.set()
            holder.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(5)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            empty = tally.read()
            series.add(0.3)
            (point,) = tally.read()
            told = (len(empty), point.count, point.total, point.start_ns > before.start_ns, dict(tallies.refused()))
            os.write(writer, repr(told).encode())
        finally:
            os._exit(0)
    holder.set()
    thread.join()
    os.waitpid(pid, 0)
    assert os.read(reader, 1_000).decode() == "(0, 1, 0.3, True, {})"
    (after,) = tally.read()
    assert (after.count, after.total) == (1, 0.2)
