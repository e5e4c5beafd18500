"""See what one user's session did in a Python web app.

Start an application with `opentelemetry-instrument` and nothing in it changes; or call `otel_session.instrument()`.
"Session" alone is the user's; SQLAlchemy's is an ORM session.
"""

from otel_session._version import __version__
from otel_session.build_stamp import build_line
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
from otel_session.propagation import end_session

__all__ = [
    "Config",
    "ConfigError",
    "HeldConnection",
    "MissingExtraError",
    "OtelSessionError",
    "ReattachError",
    "StoreError",
    "__version__",
    "bound_session",
    "build_line",
    "current_session",
    "end_session",
    "ensure_correlation_id",
    "get_correlation_id",
    "held_connections",
    "instrument",
    "new_correlation_id",
    "reattach",
    "recover_detached",
    "set_correlation_id",
    "uninstrument",
]
