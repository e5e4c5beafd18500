"""Limits that contradict each other, and times that are none: said at the start, not found out under load."""

from __future__ import annotations

from collections.abc import Mapping

from otel_session.exceptions import ConfigError

_DELAY = "OTEL_BSP_SCHEDULE_DELAY"
_QUEUE, _BATCH = 2_048, 512  # OpenTelemetry's own defaults, in items
_MOST_DELAY_S = 86_400.0


def linger_s(variables: Mapping[str, str]) -> float:
    """`OTEL_BSP_SCHEDULE_DELAY` in seconds (default 5), at least 0.01.

    Raises:
        ConfigError: It is no number of milliseconds from 0 to a day.
    """
    said = variables.get(_DELAY, "").strip()
    try:
        seconds = float(said or 5_000) / 1_000
        if not 0 <= seconds <= _MOST_DELAY_S:
            raise ValueError(said)
    except ValueError as error:
        raise ConfigError(f"{_DELAY} is {said!r}; expected milliseconds, from 0 to 86400000.") from error
    return max(0.01, seconds)


def refuse_contradictions(queue_max_age_s: float, variables: Mapping[str, str]) -> None:
    """Raise ConfigError for limits that cannot both hold.

    Args:
        queue_max_age_s: Seconds that spans and log records may wait.
        variables: The environment.
    """
    delay_s = linger_s(variables)
    if queue_max_age_s <= delay_s:
        raise ConfigError(
            f"OTEL_SESSION_QUEUE_MAX_AGE_S is {queue_max_age_s:g} (seconds) and {_DELAY} {delay_s * 1e3:g} "
            "(milliseconds): what waits for others to go with it would be too old to be sent. Expected an age above "
            "the delay."
        )
    # Only OpenTelemetry's own processors count in items. They refuse these too, with a traceback.
    for kind in ("BSP", "BLRP"):
        queue, batch = f"OTEL_{kind}_MAX_QUEUE_SIZE", f"OTEL_{kind}_MAX_EXPORT_BATCH_SIZE"
        most, at_once = _items(variables, queue, _QUEUE), _items(variables, batch, _BATCH)
        if at_once > most:
            raise ConfigError(f"{queue} is {most} and {batch} {at_once}; expected a queue that a batch fits into.")


def _items(variables: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(variables.get(name, "").strip() or default)
    except ValueError:  # OpenTelemetry says so itself, and takes its default
        return default
