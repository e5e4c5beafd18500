"""Rows to write, with what a test cares for said and the rest made up; times in seconds."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from otel_session.store import FLAG_REQUEST, LogRow, MetricRow, SpanRow

SECOND = 1_000_000_000
RESOURCE, SCOPE = b"resource", b"scope"
UNCAPPED = {"max_bytes": 0, "max_age_s": 0}
_numbers = itertools.count(1)


def trace_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def ago(seconds: float) -> int:
    """That long before now, in nanoseconds since the epoch."""
    return time.time_ns() - int(seconds * SECOND)


def span(
    session_id: str | None = "s",
    *,
    at_ns: int = 1_700_000_000 * SECOND,
    trace: int = 1,
    flags: int = 0,
    body: bytes = b"body",
    resource: bytes = RESOURCE,
    scope: bytes = SCOPE,
    name: str = "GET /",
) -> SpanRow:
    """A span of one second; its span id is a new number."""
    number = next(_numbers).to_bytes(8, "big")
    return SpanRow(session_id, trace_id(trace), number, b"", at_ns, at_ns + SECOND, name, flags, resource, scope, body)


def log(
    session_id: str | None = "s", *, at_ns: int = 1_700_000_000 * SECOND, flags: int = 0, body: bytes = b"body"
) -> LogRow:
    return LogRow(session_id, trace_id(1), b"12345678", at_ns, 9, "", flags, RESOURCE, SCOPE, body)


def metric(name: str = "m", *, at_ns: int = 1_700_000_000 * SECOND, body: bytes = b"body") -> MetricRow:
    return MetricRow(at_ns, name, RESOURCE, SCOPE, body)


def visit(session_id: str | None, *, at_ns: int, spans: int = 100, body_bytes: int = 400) -> list[SpanRow]:
    """A session's rows, one millisecond apart; every tenth is a request with a trace of its own."""
    return [
        span(
            session_id,
            at_ns=at_ns + n * 1_000_000,
            trace=next(_numbers) * 100 + n // 10,
            flags=0 if n % 10 else FLAG_REQUEST,
            body=bytes(body_bytes),
        )
        for n in range(spans)
    ]


def size_of(path: Path) -> int:
    """What the file and its write-ahead log take on disk, in bytes."""
    return sum(Path(f"{path}{suffix}").stat().st_size for suffix in ("", "-wal") if Path(f"{path}{suffix}").exists())
