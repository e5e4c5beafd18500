"""See what one user's session did in a Python web app.

Start an application with `opentelemetry-instrument` and nothing in it changes; or call `otel_session.instrument()`.
"Session" alone is the user's; SQLAlchemy's is an ORM session.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_session._version import __version__
    from otel_session.build_stamp import build_info, build_line
    from otel_session.config import Config
    from otel_session.connections import HeldConnection, held_connections
    from otel_session.context import (
        bound_session,
        current_session,
        ensure_correlation_id,
        get_correlation_id,
        new_correlation_id,
        set_correlation_id,
    )
    from otel_session.detached import reattach, recover_detached
    from otel_session.distro import instrument, uninstrument
    from otel_session.exceptions import ConfigError, MissingExtraError, OtelSessionError, ReattachError, StoreError
    from otel_session.logs import JsonFormatter, PrefixFormatter, SessionFilter
    from otel_session.operations import Operation, OperationLogger, get_logger, perf, track_operation
    from otel_session.propagation import end_session

__all__ = [
    "Config",
    "ConfigError",
    "HeldConnection",
    "JsonFormatter",
    "MissingExtraError",
    "Operation",
    "OperationLogger",
    "OtelSessionError",
    "PrefixFormatter",
    "ReattachError",
    "SessionFilter",
    "StoreError",
    "__version__",
    "bound_session",
    "build_info",
    "build_line",
    "current_session",
    "end_session",
    "ensure_correlation_id",
    "get_correlation_id",
    "get_logger",
    "held_connections",
    "instrument",
    "new_correlation_id",
    "perf",
    "reattach",
    "recover_detached",
    "set_correlation_id",
    "track_operation",
    "uninstrument",
]

# Loaded when first asked for: `opentelemetry-instrument` imports this package in a process of its own before the
# application's, only to read our variables' names.
_HOMES = {
    "._version": ("__version__",),
    ".build_stamp": ("build_info", "build_line"),
    ".config": ("Config",),
    ".connections": ("HeldConnection", "held_connections"),
    ".context": (
        "bound_session",
        "current_session",
        "ensure_correlation_id",
        "get_correlation_id",
        "new_correlation_id",
        "set_correlation_id",
    ),
    ".detached": ("reattach", "recover_detached"),
    ".distro": ("instrument", "uninstrument"),
    ".exceptions": ("ConfigError", "MissingExtraError", "OtelSessionError", "ReattachError", "StoreError"),
    ".logs": ("JsonFormatter", "PrefixFormatter", "SessionFilter"),
    ".operations": ("Operation", "OperationLogger", "get_logger", "perf", "track_operation"),
    ".propagation": ("end_session",),
}
_HOME_OF = {name: home for home, found in _HOMES.items() for name in found}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home, __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
