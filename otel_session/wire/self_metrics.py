"""What the pipeline tells about itself, as metrics: what waits, what was delivered, what was dropped and why.

Names are those of OpenTelemetry's own registry (`otel.sdk.*`) where it has one; bytes and repeats are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.metrics import Histogram, Observation, get_meter

from otel_session import attributes as names
from otel_session._version import __version__

from .batches import Outcome
from .couriers import Courier
from .lanes import CLOSED, QUEUE_FULL

_SCOPE = "otel_session"
_BEFORE_EXPORT = (QUEUE_FULL, CLOSED)
_UNITS = {"spans": "{span}", "log records": "{log_record}", "data points": "{data_point}"}
_DURATION_BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

_Read = Callable[[Courier], Iterable[tuple[int, dict[str, str]]]]


def observe(couriers: Sequence[Courier], meter_provider: Any = None) -> None:
    """Make the instruments that read these couriers. Once for a provider: instruments cannot be taken off again."""
    if not couriers:
        return
    meter = get_meter(_SCOPE, __version__, meter_provider=meter_provider)
    described = {id(courier): _about(courier, number) for number, courier in enumerate(couriers)}
    duration = meter.create_histogram(
        names.METRIC_SELF_EXPORT_DURATION,
        unit="s",
        description="The duration of exporting a batch of telemetry records.",
        explicit_bucket_boundaries_advisory=_DURATION_BOUNDARIES,
    )
    for courier in couriers:
        courier.observe = _timer(duration, described[id(courier)])

    def reading(of: Iterable[Courier], read: _Read) -> Callable[[Any], list[Observation]]:
        return lambda _options: [
            Observation(value, {**described[id(courier)], **more}) for courier in of for value, more in read(courier)
        ]

    for what, level, processed, exported in names.SELF_METRICS:
        of = [courier for courier in couriers if courier.lane.what == what]
        unit = _UNITS[what]
        meter.create_observable_up_down_counter(level, [reading(of, _held)], unit, f"{what.capitalize()} that wait.")
        if processed:
            meter.create_observable_counter(
                processed,
                [reading(of, _processed)],
                unit,
                f"{what.capitalize()} handed to an exporter, or dropped before.",
            )
        meter.create_observable_counter(
            exported,
            [reading(of, _exported if processed else _settled)],
            unit,
            f"{what.capitalize()} delivered, or given up.",
        )
    meter.create_observable_up_down_counter(
        names.METRIC_SELF_QUEUE_USAGE, [reading(couriers, _usage)], "By", "Bytes that wait for delivery."
    )
    meter.create_observable_up_down_counter(
        names.METRIC_SELF_QUEUE_LIMIT, [reading(couriers, _limit)], "By", "Bytes that may wait for delivery."
    )
    meter.create_observable_counter(
        names.METRIC_SELF_RESENT,
        [reading(couriers, _resent)],
        "{item}",
        "Spans, log records and data points sent again because no answer came; the far end may have them twice.",
    )


def _about(courier: Courier, number: int) -> dict[str, Any]:
    kind = courier.consumer.kind
    about: dict[str, Any] = {names.OTEL_COMPONENT_TYPE: kind, names.OTEL_COMPONENT_NAME: f"{kind}/{number}"}
    where = urlsplit(courier.consumer.name)
    if where.hostname:
        about[names.SERVER_ADDRESS] = where.hostname
        about.update({names.SERVER_PORT: where.port} if where.port else {})
    return about


def _timer(duration: Histogram, about: dict[str, Any]) -> Callable[[float, Outcome], None]:
    def record(seconds: float, outcome: Outcome) -> None:
        duration.record(seconds, {**about, names.ERROR_TYPE: outcome.cause} if outcome.cause else about)

    return record


def _held(courier: Courier) -> Iterator[tuple[int, dict[str, str]]]:
    yield courier.lane.held_count, {}


def _usage(courier: Courier) -> Iterator[tuple[int, dict[str, str]]]:
    yield courier.lane.held_bytes, {}


def _limit(courier: Courier) -> Iterator[tuple[int, dict[str, str]]]:
    yield courier.lane.limits.max_bytes, {}


def _resent(courier: Courier) -> Iterator[tuple[int, dict[str, str]]]:
    yield courier.lane.counts.resent, {}


def _processed(courier: Courier) -> Iterator[tuple[int, dict[str, str]]]:
    yield courier.lane.counts.handed, {}
    for reason, count in list(courier.lane.counts.dropped.items()):
        if reason in _BEFORE_EXPORT:
            yield count, {names.ERROR_TYPE: reason}


def _exported(courier: Courier) -> Iterator[tuple[int, dict[str, str]]]:
    yield courier.lane.counts.delivered, {}
    for reason, count in list(courier.lane.counts.dropped.items()):
        if reason not in _BEFORE_EXPORT:
            yield count, {names.ERROR_TYPE: reason}


def _settled(courier: Courier) -> Iterator[tuple[int, dict[str, str]]]:
    yield courier.lane.counts.delivered, {}
    for reason, count in list(courier.lane.counts.dropped.items()):
        yield count, {names.ERROR_TYPE: reason}
