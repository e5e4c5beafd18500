"""The pools' metrics as plain numbers."""

from dataclasses import dataclass
from typing import Any

from otel_session import testing

PREFIX = "db.client.connection."
NAME = "db.client.connection.pool.name"
STATE = "db.client.connection.state"


@dataclass(frozen=True)
class Seen:
    """One pool as its metrics show it; None for what they do not say."""

    used: Any
    idle: Any
    most: Any
    idle_most: Any
    idle_least: Any
    pending: Any
    timeouts: Any
    overflow: Any


def seen(telemetry: testing.Captured, name: str) -> Seen:
    """Collect, and pick one pool."""
    states = {p.attributes[STATE]: p.value for p in _points(telemetry, PREFIX + "count", name)}
    return Seen(
        used=states.get("used"),
        idle=states.get("idle"),
        most=_value(telemetry, PREFIX + "max", name),
        idle_most=_value(telemetry, PREFIX + "idle.max", name),
        idle_least=_value(telemetry, PREFIX + "idle.min", name),
        pending=_value(telemetry, PREFIX + "pending_requests", name),
        timeouts=_value(telemetry, PREFIX + "timeouts", name),
        overflow=_value(telemetry, "sqlalchemy.pool.overflow", name),
    )


def states(telemetry: testing.Captured, name: str) -> tuple[Any, Any]:
    """Used and idle."""
    found = seen(telemetry, name)
    return found.used, found.idle


def counts(telemetry: testing.Captured, name: str) -> dict[str, int]:
    """How many times were measured."""
    return {
        kind: sum(p.count for p in _points(telemetry, f"{PREFIX}{kind}_time", name))
        for kind in ("create", "wait", "use")
    }


def names(telemetry: testing.Captured) -> list[str]:
    """The pools that there are."""
    return sorted({p.attributes[NAME] for p in telemetry.points(PREFIX + "idle.min")})


def _points(telemetry: testing.Captured, metric: str, name: str) -> list[Any]:
    return [p for p in telemetry.points(metric) if p.attributes[NAME] == name]


def _value(telemetry: testing.Captured, metric: str, name: str) -> Any:
    found = [p.value for p in _points(telemetry, metric, name)]
    assert len(found) <= 1
    return found[0] if found else None
