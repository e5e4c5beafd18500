"""The main job with real programs: the unmodified example app, a Collector, Jaeger and Prometheus, five browsers.

Each way of setting it up is visited once; every test then compares what the back ends hold with what the browsers saw.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from otel_session.attributes import DB_NO_STATEMENTS, SPAN_UNIT_OF_WORK, UNIT_OUTCOME, UNIT_STATEMENTS
from tests.backends import deals
from tests.backends.clients import JaegerClient, PrometheusClient, eventually, get
from tests.backends.conftest import need
from tests.backends.evidence import CORRELATION, SESSION, LogRecord, Span, logs_of, spans_of
from tests.backends.harness import PROMETHEUS_CONFIG, Collector, Jaeger
from tests.backends.processes import REPOSITORY, Process, free_addresses
from tests.backends.visitor import Page, Visitor
from tests.environments import python_with

REVISION = "vcs.ref.head.revision"
SERVER_SIDE = ("flask-session", "cachelib", "redis")
LATEST = ("flask", "sqlalchemy==2.1.*", *SERVER_SIDE)
# With floors of their own: the pip of Python 3.11 gives up on `otlp,contrib` together.
OFFICIAL = (
    "flask",
    "sqlalchemy==2.0.*",
    *SERVER_SIDE,
    "opentelemetry-distro>=0.66b0",
    "opentelemetry-instrumentation-flask>=0.66b0",
    "opentelemetry-instrumentation-sqlalchemy>=0.66b0",
    "opentelemetry-instrumentation-logging>=0.66b0",
)

# Statements that a signed-in visitor's page sends, whoever else is there. README.md of the example has the reasons.
STATEMENTS = {
    ("GET", "/login"): 0,
    ("GET", "/"): 0,
    ("GET", "/deals"): 2,
    ("GET", "/export.csv"): 2,
    ("GET", "/deals/999"): 2,
}


@dataclass(frozen=True)
class Seen:
    """One visit of five browsers: what they saw, and what the back ends hold of it."""

    setup: str
    service: str
    commit: str
    visitors: list[Visitor]
    began_us: int
    output: str
    stored: bool
    spans: list[Span]
    logs: list[LogRecord]
    jaeger: JaegerClient
    collector: Collector

    @property
    def pages(self) -> dict[str, Page]:
        """Every page by its correlation id."""
        return {page.correlation_id: page for visitor in self.visitors for page in visitor.pages}

    @property
    def visited(self) -> list[tuple[str, str, Page]]:
        """Every page with its session and correlation id."""
        return [(self.session_of(each), page.correlation_id, page) for each in self.visitors for page in each.pages]

    @property
    def official(self) -> bool:
        """Whether the official instrumentations make the spans."""
        return self.setup == "official"

    def session_of(self, visitor: Visitor) -> str:
        """The one session that the visitor's pages belong to."""
        mine = {page.correlation_id for page in visitor.pages}
        [session] = {span.tags[SESSION] for span in self.spans if span.tags.get(CORRELATION) in mine}
        return str(session)


@pytest.fixture(scope="module")
def redis_url(logs_folder: Path) -> Iterator[str]:
    """A real Redis without persistence."""
    program = need("redis-server")
    (address,) = free_addresses(1)
    port = address.rpartition(":")[2]
    arguments = ("--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", str(logs_folder))
    with Process(program, *arguments, log=logs_folder / "redis.log") as process:
        process.wait_until(lambda: "Ready to accept connections" in process.log_tail())
        yield f"redis://{address}/0"


@pytest.fixture(scope="module", params=["http", "grpc", "official"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, jaeger: Jaeger) -> Seen:
    """OTLP/HTTP with sessions in files, OTLP/gRPC with sessions in Redis, and ours beside the official packages."""
    setup = str(request.param)
    collector: Collector = request.getfixturevalue("collector")
    if setup == "http":
        python = python_with(*LATEST, extras="flask,sqlalchemy,otlp")
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp_http, "DEALS_SESSION_TYPE": "filesystem"}
    elif setup == "grpc":
        python = python_with(*LATEST, extras="flask,sqlalchemy,otlp-grpc")
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.otlp_grpc}", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        env |= {"DEALS_SESSION_TYPE": "redis", "DEALS_REDIS_URL": request.getfixturevalue("redis_url")}
    else:
        python = python_with(*OFFICIAL, extras="flask,sqlalchemy,otlp")
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp_http, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
        env |= {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "otel_session_build,otel"}
        # Their distribution hands nothing over when the process is told to end: let it send often.
        env |= {"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_BLRP_SCHEDULE_DELAY": "200"}
    return _visit(setup, python, env, tmp_path_factory.mktemp(setup), jaeger, collector)


def _visit(setup: str, python: Path, env: dict[str, str], folder: Path, jaeger: Jaeger, collector: Collector) -> Seen:
    service = f"deals-{setup}"
    with deals.run_deals(python, folder, OTEL_SERVICE_NAME=service, **env) as running:
        began_us = time.time_ns() // 1000
        visitors = deals.visit_at_once(running.app.url)
        if setup == "official":
            time.sleep(1.5)
        running.app.stop()
        output, stored = running.app.written(), running.app.store.exists()
    pages = sum(len(visitor.pages) for visitor in visitors)
    counts = (_count_spans(jaeger.client, service) for _ in itertools.count())
    eventually(lambda: next(counts) >= pages and _is_quiet(jaeger.client, collector, service), every_s=0.5)
    spans, logs = spans_of(jaeger.client.traces(service)), logs_of(collector, service)
    return Seen(
        setup, service, running.commit, visitors, began_us, output, stored, spans, logs, jaeger.client, collector
    )


def _count_spans(client: JaegerClient, service: str) -> int:
    return len(client.spans(service))


def _is_quiet(client: JaegerClient, collector: Collector, service: str) -> bool:
    before = (_count_spans(client, service), len(logs_of(collector, service)))
    time.sleep(1)  # five times the Collector's batch time
    return before == (_count_spans(client, service), len(logs_of(collector, service)))


def test_tag_search_gives_one_browsers_traces(seen: Seen) -> None:
    """A search for one session.id in Jaeger gives that browser's requests, all of them, and nobody else's."""
    sessions = {visitor.name: seen.session_of(visitor) for visitor in seen.visitors}
    assert len(set(sessions.values())) == len(seen.visitors)
    for visitor in seen.visitors:
        found = spans_of(seen.jaeger.traces(seen.service, {SESSION: sessions[visitor.name]}))
        asked = {page.correlation_id: (page.method, page.path, page.status) for page in visitor.pages}
        assert {span.tags[CORRELATION]: span.request for span in found if span.is_request} == asked
        assert {span.ids for span in found} == {(sessions[visitor.name], each) for each in asked}


def test_one_trace_a_request(seen: Seen) -> None:
    """Each request is one trace with one server span; a trace that the browser began is continued."""
    requests = [span for span in seen.spans if span.is_request]
    assert Counter(span.tags[CORRELATION] for span in requests) == Counter(list(seen.pages))
    assert len({span.trace_id for span in requests}) == len(seen.pages)
    traces = {span.tags[CORRELATION]: span.trace_id for span in requests}
    begun = {key: page.trace_id for key, page in seen.pages.items() if page.trace_id}
    assert len(begun) == 7
    assert {key: traces[key] for key in begun} == begun


def test_errors_and_streams_are_among_them(seen: Seen) -> None:
    """The visits had a 400, a 401, two 404, a 500 and streamed answers, each with a correlation id."""
    pages = seen.pages
    assert Counter(page.status for page in pages.values() if page.status >= 400) == {400: 1, 401: 1, 404: 2, 500: 1}
    assert all(re.fullmatch(r"req_[0-9a-f]{12}", each) for each in pages)
    streamed = [page for page in pages.values() if page.path == "/export.csv"]
    assert [("Content-Length" in page.headers, page.text.count("\n") > 12) for page in streamed] == [(False, True)] * 2


def test_no_span_without_session(seen: Seen) -> None:
    """Once browsers are there, every span has their ids: helper threads' and streams' too; start-up has none."""
    assert {span.ids for span in seen.spans if span.start_us < seen.began_us} == {("", "")}
    later = [span for span in seen.spans if span.start_us >= seen.began_us]
    assert {span.ids for span in later} == {(session, key) for session, key, _ in seen.visited}
    makers = [span for span in later if not span.name.startswith("sqlalchemy.") and span.name not in DB_NO_STATEMENTS]
    assert {span.tags["otel.scope.name"].startswith("opentelemetry.") for span in makers} == {seen.official}


def test_units_of_work(seen: Seen) -> None:
    """Each unit of work lies in its request, its statements and COMMIT inside; what was committed has one."""
    by_id = {(span.trace_id, span.span_id): span for span in seen.spans}
    units = [span for span in seen.spans if span.name == SPAN_UNIT_OF_WORK and span.start_us >= seen.began_us]
    streamed = {key for key, page in seen.pages.items() if page.path == "/export.csv"}
    assert len(units) > 20
    assert {span.tags[UNIT_OUTCOME] for span in units} >= {"commit", "close"}
    inside = Counter(span.parent_id for span in seen.spans if span.is_statement and span.name not in DB_NO_STATEMENTS)
    for unit in units:
        if seen.official and unit.tags[CORRELATION] in streamed:
            continue  # the official server span is over when a streamed body is made
        assert by_id[unit.trace_id, unit.parent_id].ids == unit.ids
        assert int(unit.tags[UNIT_STATEMENTS]) == inside[unit.span_id]
    committed = {span.span_id for span in units if span.tags[UNIT_OUTCOME] == "commit" and inside[span.span_id]}
    assert committed == {span.parent_id for span in seen.spans if span.name == "COMMIT"} & {u.span_id for u in units}


def test_statements_once(seen: Seen) -> None:
    """Each statement is one span, whoever records it."""
    statements = Counter(span.tags[CORRELATION] for span in seen.spans if span.is_statement and span.ids[1])
    counted = {
        (page.path, statements[key]) for key, page in seen.pages.items() if (page.method, page.path) in STATEMENTS
    }
    assert counted == {(path, count) for (_, path), count in STATEMENTS.items()}


def test_statements_nest(seen: Seen) -> None:
    """A statement's ancestors lead to the server span of its own request, and it lies inside of it in time."""
    by_id = {(span.trace_id, span.span_id): span for span in seen.spans}
    helped = {key for key, page in seen.pages.items() if page.method == "POST" and page.path.startswith("/deals/")}
    streamed = {key for key, page in seen.pages.items() if page.path == "/export.csv"}
    statements = [span for span in seen.spans if span.is_statement and span.start_us >= seen.began_us]
    if seen.official:  # its server span is over when a streamed body is made
        statements = [span for span in statements if span.tags[CORRELATION] not in streamed]
    assert len(statements) > 80
    for statement in statements:
        root = statement
        while not root.is_request:
            root = by_id[root.trace_id, root.parent_id]
        assert root.ids == statement.ids
        assert root.start_us <= statement.start_us
        assert statement.end_us <= root.end_us or statement.tags[CORRELATION] in helped


def test_app_session_inside(seen: Seen) -> None:
    """Loading and saving a server-side session are spans right under the request, first and last of it."""
    if seen.official:
        pytest.skip("the official server span begins after the session is loaded")
    requests = {span.span_id: span for span in seen.spans if span.is_request}
    for name in ("session_store.load", "session_store.save"):
        found = [span for span in seen.spans if span.name == name]
        assert Counter(span.parent_id for span in found) == Counter(list(requests))
        for span in found:
            assert span.ids == requests[span.parent_id].ids
            assert requests[span.parent_id].start_us <= span.start_us
            assert span.end_us <= requests[span.parent_id].end_us


def test_log_lines_have_the_ids(seen: Seen) -> None:
    """What the app logs for a request has that request's session, correlation id and trace."""
    lines = [log for log in seen.logs if log.logger.startswith("deals.views")]
    texts = Counter(re.sub(r"\d+", "N", log.text) for log in lines)
    expected = {"sign-in refused": 1, "averaging day rates": 1, "user N signed in": 5, "exported N deals": 2}
    assert {text: texts[text] for text in expected} == expected
    traces = {span.ids: span.trace_id for span in seen.spans if span.is_request}
    assert {log.ids for log in lines} <= set(traces)
    # The official server span is over when a streamed body is made: its lines have the ids alone.
    inside = [log for log in lines if not (seen.official and log.text.startswith("exported"))]
    assert [log for log in inside if traces[log.ids] != log.trace_id] == []


def test_helper_threads_log_lines_have_the_ids(seen: Seen) -> None:
    """What helper threads log belongs to the request that gave them their work."""
    helped = {(session, key) for session, key, page in seen.visited if page.path in ("/deals/new", "/deals/5/notes")}
    lines = [log.ids for log in seen.logs if log.logger == "deals.scoring"]
    assert len(lines) == 2
    assert set(lines) < helped


def test_session_start_events(seen: Seen) -> None:
    """Each session has one start event."""
    started = [log.attributes[SESSION] for log in seen.logs if log.event == "session.start"]
    assert sorted(started) == sorted(map(seen.session_of, seen.visitors))


def test_build_on_everything(seen: Seen) -> None:
    """Every span and log record says the commit and branch that the app was started from."""
    build = {(seen.commit, deals.BRANCH)}
    assert {(span.resource.get(REVISION), span.resource.get("vcs.ref.head.name")) for span in seen.spans} == build
    assert {(log.resource.get(REVISION), log.resource.get("vcs.ref.head.name")) for log in seen.logs} == build


def test_request_durations_by_route_and_commit(seen: Seen, prometheus: PrometheusClient) -> None:
    """Prometheus counts as many requests by route, for this commit, as the browsers asked for."""
    if seen.official:
        pytest.skip("the official instrumentation's metrics have other names")
    name = "http_server_request_duration_seconds"
    selector = f'{{job="{seen.service}", vcs_ref_head_revision="{seen.commit}"}}'
    asked = Counter(_route(page) for page in seen.pages.values())

    def counted() -> dict[str, int]:
        series = prometheus.query(f"sum by (http_route) ({name}_count{selector})")
        return {each["metric"].get("http_route", ""): int(each["value"][1]) for each in series}

    eventually(lambda: counted() == asked)
    [slow] = prometheus.query(f'sum by (http_route) ({name}_sum{selector[:-1]}, http_route="/reports/slow"}})')
    assert 0.4 <= float(slow["value"][1]) < 10


def test_statement_durations_by_table_and_commit(seen: Seen, prometheus: PrometheusClient) -> None:
    """Prometheus counts as many statements by operation and table, for this commit, as Jaeger has spans."""
    if seen.official:
        pytest.skip("the official instrumentation has no such metric")
    statements = [span.tags for span in seen.spans if span.is_statement]
    kept = Counter((tags.get("db.operation.name", ""), tags.get("db.collection.name", "")) for tags in statements)
    assert kept["SELECT", "deals"] > 10
    assert kept["UPDATE", "deals"] == 2

    def counted() -> dict[tuple[str, str], int]:
        selector = f'{{job="{seen.service}", vcs_ref_head_revision="{seen.commit}"}}'
        labels = "db_operation_name, db_collection_name"
        series = prometheus.query(f"sum by ({labels}) (db_client_operation_duration_seconds_count{selector})")
        found = [(each["metric"], int(each["value"][1])) for each in series]
        return {(m.get("db_operation_name", ""), m.get("db_collection_name", "")): count for m, count in found}

    eventually(lambda: counted() == kept)


def test_nothing_private_leaves(seen: Seen) -> None:
    """No cookie value, password, or word that somebody typed is in anything that a back end got."""
    got = json.dumps(seen.jaeger.traces(seen.service)) + seen.collector.logs_file.read_text(encoding="utf-8")
    got += get(f"http://{seen.collector.prometheus}/metrics").decode()
    secrets = {*deals.TYPED, *(value for visitor in seen.visitors for value in visitor.secrets)}
    # Of our cookie, the random bits alone; of Flask's signed one, the content alone.
    secrets |= {part for value in secrets for part in value.split(".") if len(part) >= 16}
    assert len(secrets) > 4 * len(seen.visitors)
    assert all(seen.session_of(visitor) in got for visitor in seen.visitors)
    assert [secret for secret in secrets if secret in got] == []


def test_the_app_does_not_notice(seen: Seen) -> None:
    """Its output has its own traceback and nothing of ours; nothing is written to a local store."""
    assert seen.output.count("Traceback") == 1
    said = [line for line in seen.output.splitlines() if not line.startswith(" ")]
    assert "ZeroDivisionError: integer division or modulo by zero" in said
    # OpenTelemetry's own loader says so wherever two are installed.
    expected = ["Configuration of configurator not loaded, otel_session already loaded"] if seen.official else []
    assert [line for line in said if re.search(r"otel|opentelemetry|detach", line, re.IGNORECASE)] == expected
    assert not seen.stored


def test_prometheus_configuration_for_users(tmp_path: Path) -> None:
    """deploy/prometheus.yml is valid, and scrapes as the Prometheus of these tests does."""
    shipped = REPOSITORY / "deploy" / "prometheus.yml"
    tested = tmp_path / "prometheus.yml"
    tested.write_text(PROMETHEUS_CONFIG.format(targets=json.dumps(["127.0.0.1:8889"])), encoding="utf-8")
    command = [str(need("promtool")), "check", "config", str(shipped)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    words = re.sub(r"#.*", "", shipped.read_text(encoding="utf-8")).split()
    assert words == [word.replace("1s", "15s") for word in tested.read_text(encoding="utf-8").split()]


def _route(page: Page) -> str:
    return "" if page.path == "/nowhere" else re.sub(r"/\d+", "/<int:deal_id>", page.path)
