"""What the application calls an operation: `track_operation`, the `PERF:` lines of `perf`, and a small logger.

An operation is a start line, a complete or failed line, a span and a duration; it works before `instrument()` was
called and without it, and what goes wrong in telling never reaches the application.
"""

from otel_session.operations._logger import OperationLogger, get_logger
from otel_session.operations._operation import Operation
from otel_session.operations._perf import perf
from otel_session.operations._providers import use_providers
from otel_session.operations._tracking import track_operation

__all__ = ["Operation", "OperationLogger", "get_logger", "perf", "track_operation", "use_providers"]
