"""What each part of the product costs, and how that grows: `make bench`. Takes less than a minute.

CPU microseconds, the best of five rounds. Everything is switched on as without code, to a far end that takes all at
once; figures of one run may be compared with each other, not with those of another machine or day.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.update(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_METRIC_EXPORT_INTERVAL="3600000")
os.environ["OTEL_SESSION_STORE"] = os.path.join(tempfile.mkdtemp(), "telemetry.db")

from flask import Flask
from opentelemetry import metrics, trace
from opentelemetry.context import attach, detach
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

import otel_session
from otel_session import context as here
from otel_session import tallies
from otel_session.exporters import otlp
from otel_session.processors import IdentitySpanProcessor
from otel_session.wire import encode_span, frame_request, origin_of
from otel_session.wire.batches import KEPT
from otel_session.wire.lanes import Lane, Limits
from tests.bench.timing import best_us, print_beside, print_growth, with_threads
from tests.wire.bench_encode import make_spans

ENVIRON = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/deals/7",
    "QUERY_STRING": "",
    "SERVER_NAME": "shop",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.url_scheme": "http",
    "REMOTE_ADDR": "10.1.2.3",
    "HTTP_USER_AGENT": "bench",
    "HTTP_X_CORRELATION_ID": "c0ffee",
}


def request_of(app: Flask) -> Callable[[], object]:
    """One request to an application, served until its body has ended."""
    environ = dict(ENVIRON)

    def start_response(_status: str, headers: list[tuple[str, str]], *_: object) -> Any:
        for name, value in headers:
            if name == "Set-Cookie":  # a browser brings it back
                environ["HTTP_COOKIE"] = value.split(";")[0]

    def serve() -> None:
        for _ in (answer := app(dict(environ), start_response)):
            pass
        getattr(answer, "close", lambda: None)()

    return serve


def make_app() -> Flask:
    """An application that does next to nothing."""
    app = Flask("bench")
    app.add_url_rule("/deals/<int:number>", "deals", lambda number: "ok")
    return app


def make_engine() -> Any:
    return create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})


def statement_of(engine: Any, count: int = 1) -> Callable[[], object]:
    """One of `count` different statements, sent on an open connection."""
    connection = engine.connect()
    statements = [text(f"SELECT {number} AS n") for number in range(count)]
    at = iter(())

    def send() -> None:
        nonlocal at
        statement = next(at, None)
        if statement is None:
            at = iter(statements)
            statement = next(at)
        connection.execute(statement).close()

    return send


def unit_of_work(engine: Any) -> Callable[[], object]:
    """An ORM session's life: one statement, COMMIT, close."""
    one = text("SELECT 1")

    def work() -> None:
        with Session(engine) as orm:
            orm.execute(one).close()
            orm.commit()

    return work


def units_beside(open_ones: int) -> float:
    """What a unit of work costs while so many others, of other ORM sessions, are open."""
    engine = make_engine()
    others = [Session(make_engine()) for _ in range(open_ones)]
    for orm in others:
        orm.execute(text("SELECT 1")).close()
    cost = in_request(unit_of_work(engine))()
    for orm in others:
        orm.close()
    return cost


def make_log() -> Callable[[], object]:
    log = logging.getLogger("bench.app")
    log.setLevel(logging.INFO)
    log.addHandler(logging.NullHandler())
    log.propagate = False
    return lambda: log.info("listing deals of %s", 7)


def in_request(work: Callable[[], object]) -> Callable[[], float]:
    """Measure something inside of a request that belongs to a session."""

    def measure() -> float:
        context = here.put(here.Identity(session_id="3f" * 16, correlation_id="c0ffee"))
        token = attach(context)
        try:
            with trace.get_tracer("bench").start_as_current_span("request"):
                return best_us(work)
        finally:
            detach(token)

    return measure


def parts() -> list[tuple[str, float, float]]:
    """The parts of a request, with the product and without."""
    app, send, unit, log = make_app(), statement_of(make_engine()), unit_of_work(make_engine()), make_log()
    bare = best_us(request_of(app)), best_us(send), best_us(unit), best_us(log)
    otel_session.instrument()
    app, send, unit = make_app(), statement_of(make_engine()), unit_of_work(make_engine())
    ours = best_us(request_of(app)), in_request(send)(), in_request(unit)(), in_request(log)()
    what = (
        "a request: server span, ids, metrics",
        "a statement: query span, metric",
        "a unit of work: its span, a query, COMMIT, pool",
        "a log record",
    )
    return list(zip(what, ours, bare, strict=True))


def beside_the_official() -> list[tuple[str, float, float]]:
    """What was built anew, beside what it takes the place of."""
    (span,) = make_spans(1)
    tally = tallies.Tally(tallies.Metric("bench", "bench", "s", "", (0.1, 0.5, 1.0))).series({"a": 1})
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    histogram = meters.get_meter("bench").create_histogram("bench", explicit_bucket_boundaries_advisory=(0.1, 0.5, 1.0))
    encoded = best_us(lambda: encode_span(span)), best_us(lambda: encode_spans([span]).SerializeToString())
    return [
        ("encode a span with 8 attributes", *encoded),
        ("count a duration", best_us(lambda: tally.add(0.2)), best_us(lambda: histogram.record(0.2, {"a": 1}))),
    ]


def pieces() -> dict[str, float]:
    """What has no counterpart."""
    (span,) = make_spans(1)
    origin, body = origin_of(span.resource, span.instrumentation_scope), encode_span(span)
    lane = Lane("spans", Limits(), lambda full: None)

    def put_thousand() -> None:
        for _ in range(1_000):
            lane.put(origin, body, 400)
        lane.seal()
        while (batch := lane.take()) is not None:
            lane.keep(batch)

    context = here.put(here.Identity(session_id="3f" * 16, correlation_id="c0ffee"))
    ids, tracer = IdentitySpanProcessor(), trace.get_tracer("bench")
    other = tracer.start_span("other")

    items = [(origin, [body] * 1_000)]
    return {
        "ids onto a span of somebody else's": best_us(lambda: ids.on_start(other, context)),
        "into a lane and out of it": best_us(put_thousand, 1_000),
        "frame a request, each span": best_us(lambda: frame_request(items), 1_000),
    }


def growth() -> None:
    """Each line: a number, and the cost of one at that number."""
    spans = {}
    for count in (0, 8, 32, 64):
        (span,) = make_spans(1)
        span._attributes = {f"key.{n}": f"value {n}" for n in range(count)}
        spans[count] = best_us(lambda span=span: encode_span(span))
    print_growth("encode a span with so many attributes", spans)
    engine = make_engine()
    # Up to what SQLAlchemy keeps compiled; beyond it, compiling costs more than all else.
    statements = {n: in_request(statement_of(engine, n))() for n in (1, 50, 400)}
    print_growth("a statement, of so many different ones", statements)
    engines = {}
    for count in (1, 10, 50):
        sends = [statement_of(make_engine()) for _ in range(count)]
        engines[count] = in_request(lambda sends=sends: [send() for send in sends])() / count
    print_growth("a statement, with so many engines", engines)
    print_growth("a unit of work, with so many open", {n: units_beside(n) for n in (0, 10, 100, 1_000)})
    tracer = trace.get_tracer("bench")
    work = lambda: tracer.start_span("span").end()  # noqa: E731
    print_growth("start and end a span, in so many threads", {n: with_threads(work, n, 8_000) for n in (1, 2, 4, 8)})
    log = make_log()
    print_growth("a log record, in so many threads", {n: with_threads(log, n, 8_000) for n in (1, 2, 4, 8)})


def main() -> None:
    """Measure and print."""
    otlp.HttpConsumer.consume = lambda self, batch, timeout_s=None: KEPT  # type: ignore[method-assign]
    OTLPMetricExporter.export = lambda self, *_, **__: MetricExportResult.SUCCESS  # type: ignore[method-assign]
    print_beside("CPU µs each", ("with", "without"), parts())
    print_beside("CPU µs each", ("ours", "official"), beside_the_official())
    print(f"\n{'CPU µs each':<46}")
    for what, us in pieces().items():
        print(f"{what:<46} {us:>10.2f}")
    print(f"\n{'CPU µs each, and how it grows':<46}")
    growth()
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        provider.shutdown()  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
