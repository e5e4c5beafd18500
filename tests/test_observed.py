"""What is read at collection: the same metrics by our own exporters and by SDK instruments."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from otel_session import instruments, observed, wire
from otel_session.exporters import tallied
from otel_session.observed import Kind, Observed, Reading
from otel_session.tallies import Metric
from otel_session.wire import origins
from tests.test_tallies import Kept, periodic, plain, provider_with

WAITING = Metric("shop", "shop.waiting", "{customer}", "Who waits.")
SERVED = Metric("shop", "shop.served", "{customer}", "Who was served.")
OLDEST = Metric("shop", "shop.oldest", "s", "Who waits for the longest.")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing observed, and nothing tallied, but by this test."""
    monkeypatch.setattr(observed, "_in_force", {})
    monkeypatch.setattr("otel_session.tallies._tallies", {})
    yield
    instruments.use_tallies(False)


def shop() -> list[Observed]:
    return [
        Observed(WAITING, Kind.LEVEL, lambda: [(2, {"queue": "a"}), (0, {"queue": "b"})]),
        Observed(SERVED, Kind.COUNT, lambda: [(7, {})]),
        Observed(OLDEST, Kind.GAUGE, lambda: [(0.25, {"queue": "a"})]),
    ]


def test_the_same_as_sdk_instruments() -> None:
    """Values, attributes, units, kinds, temporality and scope are what observable instruments give."""
    ours, theirs = Kept(), Kept()
    our_provider, their_provider = provider_with(periodic(ours)), provider_with(periodic(theirs))
    assert tallied.attach(our_provider)
    instruments.use_tallies(True)
    for one in shop():
        instruments.observe(one)
    for one in shop():
        instruments.observe(one, their_provider)
    our_provider.force_flush()
    their_provider.force_flush()
    assert plain(ours.got[0]) == plain(theirs.got[0])
    assert len(plain(ours.got[0])) == 3


def test_the_same_bytes() -> None:
    """Our exporters' bytes of it are those of the SDK's data, but for the times."""
    kinds = {}
    data = tallied.with_tallies(None, Resource({}), 5)
    assert data is None
    instruments.use_tallies(True)
    for one in shop():
        instruments.observe(one)
    data = tallied.with_tallies(None, Resource({}), 5)
    assert data is not None
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric as Message

    for encoded in wire.encode_metrics(data):
        message = Message.FromString(encoded.body)
        kinds[message.name] = (message.WhichOneof("data"), message.sum.is_monotonic)
    assert kinds == {"shop.waiting": ("sum", False), "shop.served": ("sum", True), "shop.oldest": ("gauge", False)}


def test_collections_leave_nothing_behind() -> None:
    """What is kept encoded of who measured is found again by the next collection, and does not grow with each."""
    resource = Resource({})
    instruments.use_tallies(True)
    for one in shop():
        instruments.observe(one)

    def collect() -> int:
        data = tallied.with_tallies(None, resource, 5)
        assert data is not None
        assert wire.encode_metrics(data)
        return len(origins._origins)

    first = collect()
    assert [collect() for _ in range(5)] == [first] * 5


@pytest.mark.parametrize("tallied_here", [True, False])
def test_it_ends(tallied_here: bool) -> None:
    """After its end nothing is read or exported; begun again on the same provider, it is there once."""
    reader, exporter = InMemoryMetricReader(), Kept()
    provider = provider_with(periodic(exporter)) if tallied_here else provider_with(reader)
    given = None if tallied_here else provider
    if tallied_here:
        tallied.attach(provider)
    instruments.use_tallies(tallied_here)

    def collected() -> list[Any]:
        exporter.got.clear()
        provider.force_flush()
        data = exporter.got[-1] if exporter.got else None if tallied_here else reader.get_metrics_data()
        found = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics] if data else []
        return [p.value for m in found for p in m.data.data_points]

    for value in (1, 2):
        end = instruments.observe(Observed(SERVED, Kind.COUNT, lambda value=value: [(value, {})]), given)
        assert collected() == [value]
        end()
        assert collected() == []


def test_the_end_of_one_that_was_replaced_changes_nothing() -> None:
    """Its successor of the same name goes on."""
    instruments.use_tallies(True)
    end_first = instruments.observe(Observed(SERVED, Kind.COUNT, lambda: [(1, {})]))
    second = Observed(SERVED, Kind.COUNT, lambda: [(2, {})])
    instruments.observe(second)
    end_first()
    assert observed.all_observed() == [second]


def test_a_failing_reader_takes_nothing_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be read is left out, with one line; everything else is exported."""

    def broken() -> Iterator[Reading]:
        yield 1, {}
        raise ValueError("broken")

    exporter = Kept()
    provider = provider_with(periodic(exporter))
    tallied.attach(provider)
    instruments.use_tallies(True)
    instruments.observe(Observed(WAITING, Kind.LEVEL, broken))
    instruments.observe(Observed(SERVED, Kind.COUNT, lambda: [(7, {})]))
    provider.force_flush()
    provider.force_flush()
    assert len(plain(exporter.got[0])) == 1
    assert caplog.text.count("otel-session failed in observing shop.waiting") == 1


def test_attribute_sets_are_limited() -> None:
    """At most 2,000 values of one metric leave the process."""
    many = Observed(WAITING, Kind.LEVEL, lambda: ((1, {"n": n}) for n in range(5_000)))
    assert len(many.readings()) == 2_000


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_counts_from_its_own_start() -> None:
    """In a forked child, sums begin when the child began."""
    one = Observed(SERVED, Kind.COUNT, lambda: [(0, {})])
    before = one.start_ns
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, str(one.start_ns > before and one.start_ns == one.start_ns).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 10) == b"True"
    assert one.start_ns == before
