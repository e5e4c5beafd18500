"""Formatters and a filter for the standard `logging`: whose line it is (features A2, B2, B3, B7).

Each is named in a `dictConfig` or handed to a handler; `OTEL_SESSION_LOG_FORMAT` has all existing handlers use them.
"""

from otel_session.logs._filter import SessionFilter
from otel_session.logs._handlers import switch_on
from otel_session.logs._json import JsonFormatter
from otel_session.logs._prefix import PrefixFormatter

__all__ = ["JsonFormatter", "PrefixFormatter", "SessionFilter", "switch_on"]
