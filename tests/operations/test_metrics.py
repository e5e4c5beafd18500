"""`operation.duration` and `operation.errors`."""

import asyncio
import os
import threading
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.trace import TracerProvider

import otel_session
from otel_session import instruments, operations, tallies, testing, track_operation
from otel_session.observed import all_observed


def _fail(name: str, error: BaseException) -> None:
    with pytest.raises(type(error)), track_operation(name):
        raise error


def _read(telemetry: testing.Captured, metric: str) -> dict[frozenset[Any], Any]:
    return {frozenset(dict(point.attributes).items()): point for point in telemetry.points(metric)}


def _about(name: str, error: str | None = None) -> frozenset[Any]:
    return frozenset([("operation.name", name), *([("error.type", error)] if error else [])])


def test_durations_and_errors(telemetry: testing.Captured) -> None:
    """Durations in seconds by name and error type; failed ones once more as errors, cancelled ones not."""
    for _ in range(3):
        with track_operation("create"):
            pass
    _fail("create", KeyError("gone"))
    _fail("create", asyncio.CancelledError())
    durations = _read(telemetry, "operation.duration")
    assert {about: point.count for about, point in durations.items()} == {
        _about("create"): 3,
        _about("create", "KeyError"): 1,
        _about("create", "asyncio.exceptions.CancelledError"): 1,
    }
    assert 0 < durations[_about("create")].sum < 1
    errors = _read(telemetry, "operation.errors")
    assert {about: point.value for about, point in errors.items()} == {_about("create", "KeyError"): 1}


def test_names_are_bounded(telemetry: testing.Captured) -> None:
    """A program that writes ids into names makes five hundred series and one for all others."""
    for number in range(700):
        with track_operation(f"show {number}"):
            pass
    durations = _read(telemetry, "operation.duration")
    assert len(durations) == 501
    assert durations[_about("_OTHER")].count == 200


def test_error_types_are_bounded(telemetry: testing.Captured) -> None:
    """So does one that makes ever new types of exceptions."""
    for number in range(1_200):
        _fail("create", type(f"Error{number}", (Exception,), {})())
    assert len(_read(telemetry, "operation.duration")) <= 1_001
    errors = _read(telemetry, "operation.errors")
    assert len(errors) <= 1_001
    assert sum(point.value for point in errors.values()) == 1_200


def test_many_threads(telemetry: testing.Captured) -> None:
    """Nothing is lost or counted twice when many threads work at a time."""

    def work() -> None:
        for number in range(100):
            try:
                with track_operation("work"):
                    if number % 2:
                        raise KeyError
            except KeyError:
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = {about: point.count for about, point in _read(telemetry, "operation.duration").items()}
    assert counts == {_about("work"): 400, _about("work", "KeyError"): 400}
    assert _read(telemetry, "operation.errors")[_about("work", "KeyError")].value == 400


@pytest.fixture
def tallied(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Our own exporters read the metrics of the global provider."""
    monkeypatch.setattr(tallies, "_tallies", {})
    provider = metrics.NoOpMeterProvider()
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    instruments.use_tallies(True)
    operations.use_providers()
    yield
    operations.use_providers()
    instruments.use_tallies(False)


def _tallied() -> dict[frozenset[Any], int]:
    (tally,) = [one for one in tallies.all_tallies() if one.metric.name == "operation.duration"]
    return {frozenset(point.attributes.items()): point.count for point in tally.read()}


def _observed() -> dict[frozenset[Any], float]:
    (errors,) = [one for one in all_observed() if one.metric.name == "operation.errors"]
    return {frozenset(about.items()): value for value, about in errors.readings()}


def test_tallies(tallied: Any) -> None:
    """Where our own exporters read, the same is counted in tallies."""
    with track_operation("create"):
        pass
    _fail("create", KeyError("gone"))
    assert _tallied() == {_about("create"): 1, _about("create", "KeyError"): 1}
    assert _observed() == {_about("create", "KeyError"): 1}


def test_a_forked_child_counts_its_own(tallied: Any) -> None:
    """A child does not count what its parent did."""
    _fail("create", KeyError("gone"))
    child = os.fork()
    if not child:
        try:
            _fail("create", OSError())
            right = _observed() == {_about("create", "OSError"): 1} and set(_tallied()) == {_about("create", "OSError")}
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert _observed() == {_about("create", "KeyError"): 1}


def test_a_provider_that_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations before there is a meter provider count nowhere; those afterwards do."""
    operations.use_providers()
    with testing.captured() as captured:
        with track_operation("early"):
            pass
        provider = captured.providers["meter_provider"]
        monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
        monkeypatch.setattr("opentelemetry.metrics._internal.get_meter_provider", lambda: provider)
        with track_operation("late"):
            pass
        assert set(_read(captured, "operation.duration")) == {_about("late")}
    operations.use_providers()


def test_nothing_is_read_after_uninstrument(tallied: Any) -> None:
    """`uninstrument()` leaves no metric of operations that an exporter of ours would read."""
    otel_session.instrument(tracer_provider=TracerProvider(shutdown_on_exit=False))
    _fail("create", KeyError("gone"))
    assert _observed()
    otel_session.uninstrument()
    assert not [one for one in all_observed() if one.metric.name == "operation.errors"]
