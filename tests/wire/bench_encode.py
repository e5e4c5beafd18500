"""What encoding costs, ours beside the official encoder's. Run by hand: `python tests/wire/bench_encode.py`.

Prints microseconds of one thread, the best of seven rounds, for a span with eight attributes seen before, with eight
new ones each time, for one with an event and a link, and for a log record; then the same spans framed and serialized.
"""

from __future__ import annotations

import sys
import timeit
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanContext, SpanKind

from otel_session.wire import encode_log_record, encode_span, frame_request, origin_of
from tests.wire.made_spans import make_provider

ATTRIBUTES = {
    "http.request.method": "GET",
    "http.route": "/users/<int:user_id>",
    "http.response.status_code": 200,
    "url.path": "/users/17",
    "url.scheme": "http",
    "server.address": "shop.example.org",
    "server.port": 8080,
    "session.id": "3f0c6a1d5e0b4b6d9a7e2c1f8b3d4e5f",
}
PARENT = SpanContext(2**127 + 17, 2**63 + 17, is_remote=True)
BATCH = 512


def make_spans(count: int, *, fresh: bool = False, event: bool = False) -> list[ReadableSpan]:
    """Make `count` finished server spans; `fresh` gives each attributes nobody has seen."""
    provider, exporter = make_provider(resource=Resource({"service.name": "shop"}))
    tracer = provider.get_tracer("bench", "1.0")
    for number in range(count):
        attributes = {key: f"{value}-{number}" for key, value in ATTRIBUTES.items()} if fresh else ATTRIBUTES
        links = [Link(PARENT, {"link": "x"})] if event else ()
        span = tracer.start_span("GET /users/<int:user_id>", kind=SpanKind.SERVER, attributes=attributes, links=links)
        if event:
            span.add_event("exception", {"exception.type": "ValueError", "exception.message": "no such user"})
        span.end()
    return list(exporter.get_finished_spans())


def best_us(work: Callable[[], object], items: int) -> float:
    """Time `work` over `items` items: the least microseconds an item took in seven rounds."""
    number = max(1, 20_000 // items)
    return min(timeit.repeat(work, number=number, repeat=7)) / number / items * 1e6


def show(what: str, ours: float, official: float) -> None:
    print(f"{what:<44} {ours:8.2f} {official:8.2f} {official / ours:7.1f}x")


def frame(spans: list[ReadableSpan]) -> bytes:
    return frame_request((origin_of(span.resource, span.instrumentation_scope), [encode_span(span)]) for span in spans)


def main() -> None:
    """Measure and print."""
    print(f"{'µs each':<44} {'ours':>8} {'official':>8}")
    for what, spans in (
        ("span, 8 attributes seen before", make_spans(1)),
        ("span, 8 attributes never seen", make_spans(60_000, fresh=True)),
        ("span, 8 attributes, an event, a link", make_spans(1, event=True)),
    ):
        # Thousands of fresh spans pass once per round only: a second pass would find them in the cache's young half.
        ours = best_us(lambda spans=spans: [encode_span(span) for span in spans], len(spans))
        some = spans[:1000]
        show(what, ours, best_us(lambda some=some: [encode_spans([span]) for span in some], len(some)))
    log = LogRecord(timestamp=1, severity_number=SeverityNumber.INFO, body="done", attributes=ATTRIBUTES)
    record = ReadableLogRecord(log, Resource({}))
    ours = best_us(lambda: encode_log_record(record), 1)
    show("log record, 8 attributes", ours, best_us(lambda: encode_logs([record]), 1))
    spans = make_spans(BATCH)
    official = best_us(lambda: encode_spans(spans).SerializeToString(), BATCH)
    show(f"span in a request of {BATCH}, serialized", best_us(lambda: frame(spans), BATCH), official)


if __name__ == "__main__":
    main()
