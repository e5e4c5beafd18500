"""What a JSON log line with all ids costs, ours beside others': from the call to the bytes at a file: `make bench`.

Session, correlation id, user, trace, span and commit are in each line. structlog works without the standard library,
once with all ids bound as constants, which is its least cost and no way to serve two users; then with the ids in
context variables and the span asked for, as its documentation has it; then with module, function and line, which ours
have. python-json-logger has the ids as constants, too. The last column leaves out what comes before and after the text:
finding the caller, making the record, handlers, locks, the file.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import structlog
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler, LogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from pythonjsonlogger.json import JsonFormatter as StandardJsonLogger
from pythonjsonlogger.orjson import OrjsonFormatter

sys.path.insert(0, str(Path(__file__).parents[2]))

from otel_session import context as here
from otel_session.context import attach, detach
from otel_session.logs import JsonFormatter, PrefixFormatter, SessionFilter, _encoding, switch_on
from tests.bench.timing import best_us

IDS = {
    "correlation_id": "req_4dbceea7137d",
    "session_id": "3f" * 16,
    "user_id": "anonymous",
    "trace_id": "3faaf7bed3fda662f1210a6c86ec9db0",
    "span_id": "8119048cfaec593a",
    "commit": "512fbfe",
}
FIELD = {"client": "ACME", "deals": 7}
Work = Callable[[], object]
Works = tuple[Work, Work, Work | None]


@contextmanager
def in_request() -> Iterator[None]:
    """Inside of a request that belongs to a session."""
    token = attach(here.put(here.Identity(session_id=IDS["session_id"], correlation_id=IDS["correlation_id"])))
    try:
        with TracerProvider().get_tracer("bench").start_as_current_span("request"):
            yield
    finally:
        detach(token)


def logger_with(handler: logging.Handler, formatter: logging.Formatter | None = None) -> logging.Logger:
    log = logging.Logger(f"shop.{type(formatter).__name__}", logging.INFO)
    handler.setFormatter(formatter)
    log.addHandler(handler)
    return log


def to_nowhere() -> logging.Handler:
    return logging.StreamHandler(Path(os.devnull).open("w"))


def calls(log: logging.Logger) -> Works:
    """A line and one with two fields by the standard library; and what its handler makes of a record that is there."""
    handler = log.handlers[0]
    record = log.makeRecord(log.name, logging.INFO, __file__, 7, "listing deals", (), None, "calls")
    writes = isinstance(handler, logging.StreamHandler) and not handler.filters
    alone = (lambda: handler.format(record)) if writes else None
    return lambda: log.info("listing deals"), lambda: log.info("listing deals", extra=FIELD), alone


def span_ids(logger: object, name: str, event: dict[str, Any]) -> dict[str, Any]:
    """As structlog's documentation has it."""
    span = trace.get_current_span()
    if span.is_recording():
        known = span.get_span_context()
        event["span_id"] = format(known.span_id, "016x")
        event["trace_id"] = format(known.trace_id, "032x")
    return event


def by_structlog(*before: Any, **bound: str) -> Works:
    structlog.reset_defaults()
    structlog.configure(
        processors=[
            *before,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(Path(os.devnull).open("wb")),  # noqa: SIM115 - for the whole run
        cache_logger_on_first_use=True,
    )
    log = structlog.get_logger().bind(**bound)
    return (
        lambda: log.info("listing deals"),
        lambda: log.info("listing deals", client="ACME", deals=7),
        lambda: log._process_event("info", "listing deals", {}),
    )


class _Nowhere(LogRecordProcessor):
    def on_emit(self, log_record: Any) -> None:
        """Let it go."""

    def shutdown(self) -> None:
        """Nothing to close."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing to flush."""
        return True


def by_opentelemetry() -> Works:
    """Its record is no JSON yet."""
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(_Nowhere())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it moved
        return calls(logger_with(LoggingHandler(logger_provider=provider)))


def measured() -> Iterator[tuple[str, ...]]:
    """Each one's name, and its CPU µs for a line, for one with two fields, and for the line's text alone."""

    def cost(name: str, works: Works) -> tuple[str, ...]:
        return name, *("" if work is None else f"{best_us(work):.2f}" for work in works)

    fields = "{levelname}{name}{message}{asctime}{module}{funcName}{lineno}"
    yield cost("logging itself: a text line without ids", calls(logger_with(to_nowhere(), logging.Formatter())))
    yield cost("ours: JSON lines, with orjson", calls(logger_with(to_nowhere(), JsonFormatter())))
    quick, _encoding._quick = _encoding._quick, None
    yield cost("ours: JSON lines, standard library", calls(logger_with(to_nowhere(), JsonFormatter())))
    _encoding._quick = quick
    off = switch_on("json")
    yield cost("ours: JSON lines, without a change of code", calls(logger_with(to_nowhere(), logging.Formatter())))
    if off is not None:
        off()
    yield cost("ours: text with the prefix", calls(logger_with(to_nowhere(), PrefixFormatter())))
    filtered = to_nowhere()
    filtered.addFilter(SessionFilter())
    yield cost("ours: the filter, and a format of one's own", calls(logger_with(filtered, logging.Formatter(
        "%(session_id)s %(correlation_id)s %(user_id)s %(trace_id)s %(span_id)s %(message)s"))))  # fmt: skip
    merge, callsite = structlog.contextvars.merge_contextvars, structlog.processors.CallsiteParameter
    places = structlog.processors.CallsiteParameterAdder([callsite.MODULE, callsite.FUNC_NAME, callsite.LINENO])
    structlog.contextvars.bind_contextvars(**{name: IDS[name] for name in IDS if name not in ("trace_id", "span_id")})
    yield cost("structlog + orjson, ids as constants", by_structlog(**IDS))
    yield cost("structlog + orjson, ids asked for", by_structlog(merge, span_ids))
    yield cost("structlog + orjson, and module, function, line", by_structlog(merge, span_ids, places))
    constant = {"style": "{", "static_fields": IDS}
    yield cost("python-json-logger + orjson", calls(logger_with(to_nowhere(), OrjsonFormatter(fields, **constant))))
    yield cost("python-json-logger", calls(logger_with(to_nowhere(), StandardJsonLogger(fields, **constant))))
    yield cost("OpenTelemetry's LoggingHandler, no exporter", by_opentelemetry())


def main() -> None:
    """Measure and print."""
    print(f"\n{'CPU µs of a log line':<46} {'no field':>10} {'two fields':>10} {'text alone':>10}", flush=True)
    with in_request():
        assert (
            json.loads(JsonFormatter().format(logging.makeLogRecord({"msg": "x"})))["session_id"] == IDS["session_id"]
        )
        assert trace.get_current_span().get_span_context().is_valid
        for name, *figures in measured():
            print(f"{name:<46} " + " ".join(f"{figure:>10}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()
