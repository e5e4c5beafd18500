"""The local telemetry file: one SQLite database that several processes write and others read.

It takes and gives rows of OTLP bytes (`records`) and knows neither spans nor the web.
"""

from otel_session.store.reader import StoreReader
from otel_session.store.records import (
    FLAG_CONFIRMED,
    FLAG_ERROR,
    FLAG_REQUEST,
    FLAG_STATEMENT,
    LogRow,
    MetricRow,
    SessionSummary,
    SpanRow,
)
from otel_session.store.writer import TelemetryStore

__all__ = [
    "FLAG_CONFIRMED",
    "FLAG_ERROR",
    "FLAG_REQUEST",
    "FLAG_STATEMENT",
    "LogRow",
    "MetricRow",
    "SessionSummary",
    "SpanRow",
    "StoreReader",
    "TelemetryStore",
]
