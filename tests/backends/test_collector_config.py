"""collector-config.yaml in a real Collector, between real applications' data and real back ends."""

from __future__ import annotations

import os
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from tests.backends import otlp
from tests.backends.clients import PrometheusClient, eventually, post_otlp, post_otlp_grpc, tags_of
from tests.backends.harness import COLLECTOR_CONFIG, Collector, Jaeger, run_collector
from tests.backends.processes import free_addresses

MASKED = "****"
SESSION = "4111111111111111"  # the worst id an application may bring along: it looks like a card number
STATEMENT = "UPDATE users SET password=?, api_key = %(key)s WHERE token = :token AND created > '2026-11-21'"

# What must not leave, as attributes of a span: name, value, what Jaeger shows.
SECRETS: list[tuple[str, otlp.Value, str]] = [
    ("http.request.header.cookie", ["session=abcdef"], MASKED),
    ("http.response.header.set-cookie", ["session=abcdef; HttpOnly", "theme=dark"], MASKED),
    ("http.request.header.authorization", ["Basic dXNlcjpwdw=="], MASKED),
    ("http.request.header.x_csrf_token", ["abcdef"], MASKED),
    ("form.password", "hunter2\nhunter3", f"{MASKED}\n{MASKED}"),
    ("pwd", "hunter2", MASKED),
    ("accessToken", "abcdef", MASKED),
    ("client_secret", "abcdef", MASKED),
    ("API-Key", "abcdef", MASKED),
    ("payment.card_number", 12345, MASKED),
    ("note", "card 4111 1111 1111 1111, please", f"card{MASKED}, please"),
    ("number", 5500005555555559, MASKED),
    ("amex", "378282246310005", MASKED),
    ("http.request.header.x-forwarded", ["Bearer abcdefghijklmnopqrst"], f'["{MASKED}"]'),
    ("id", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_X", MASKED),
    ("db.url", "postgresql://deals:hunter2@db:5432/deals", f"postgresql{MASKED}db:5432/deals"),
    ("url.query", "page=2&reset_token=abcdef&sort=name", f"page=2{MASKED}&sort=name"),
]

# What people look for, and what only looks like a secret: it arrives as it was sent.
KEPT: dict[str, otlp.Value] = {
    "session.id": SESSION,
    "session.previous_id": "0" * 32,
    "correlation.id": "req_0123456789ab",
    "http.request.method": "POST",
    "http.route": "/password/<token>",
    "http.response.status_code": 200,
    "http.request.header.x-request-id": '["req_0123456789ab"]',
    "url.path": "/password/reset",
    "db.query.text": STATEMENT,
    "db.query.summary": "UPDATE users",
    "user.hash": "41111111-4111-4111-4111-411111111111",
    "thread.id": 140234567890123,
    "gen_ai.token.type": "input",
    "gen_ai.usage.input_tokens": 1234,
    "elapsed_s": 0.4111111111111111,
    "took": "0.4111111111111111 s",
    "started_us": 1795219226123456,
    "retried": True,
}


def test_validate(otelcol: Path) -> None:
    """The Collector itself finds nothing to say against the configuration, as it stands and with all switched on."""
    everything = {
        "OTELCOL_TRACES_EXPORTERS": "[otlp/jaeger, otlp/tempo]",
        "OTELCOL_LOGS_EXPORTERS": "[debug, file/logs, otlphttp/loki]",
    }
    for env in ({}, everything):
        command = [str(otelcol), "validate", "--config", str(COLLECTOR_CONFIG)]
        done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_span_arrives_redacted(collector: Collector, jaeger: Jaeger) -> None:
    """A session's span is found in Jaeger by its session id, with every secret masked and everything else intact."""
    attributes = {**KEPT, **{name: value for name, value, _ in SECRETS}}
    post_otlp(
        f"{collector.otlp_http}/v1/traces", otlp.traces({"service.name": "redaction"}, "POST /password", attributes)
    )
    [span] = eventually(lambda: jaeger.client.spans("redaction", {"session.id": SESSION}))
    tags = tags_of(span)
    assert {name: tags.get(name) for name, _, _ in SECRETS} == {name: shown for name, _, shown in SECRETS}
    assert {name: tags.get(name) for name in KEPT} == KEPT
    assert jaeger.client.spans("redaction", {"session.id": "another"}) == []
    # Nothing is added that would tell what was masked.
    assert set(tags) - {*attributes, "span.kind", "otel.scope.name", "otel.scope.version"} == set()


def test_grpc_and_http(collector: Collector, jaeger: Jaeger) -> None:
    """Applications reach Jaeger by OTLP/gRPC and by OTLP/HTTP; each session finds its own trace only."""
    resource: otlp.Attributes = {"service.name": "both-ways"}
    post_otlp_grpc(collector.otlp_grpc, otlp.traces(resource, "GET /grpc", {"session.id": "grpc"}))
    post_otlp(f"{collector.otlp_http}/v1/traces", otlp.traces(resource, "GET /http", {"session.id": "http"}))
    for protocol in ("grpc", "http"):
        [span] = eventually(partial(jaeger.client.spans, "both-ways", {"session.id": protocol}))
        assert span["operationName"] == f"GET /{protocol}"
    assert "both-ways" in jaeger.client.services()
    assert "jaeger" not in jaeger.client.services()


def test_log_record_arrives_redacted(collector: Collector) -> None:
    """A log record leaves the pipeline with its session id, and with secrets masked in its body and attributes."""
    body = "charged 4111111111111111 by redis://:hunter2@cache/0 in 0.4111111111111111 s"
    attributes: otlp.Attributes = {"session.id": SESSION, "password": "hunter2"}
    post_otlp(f"{collector.otlp_http}/v1/logs", otlp.logs({"service.name": "redaction"}, body, attributes))
    [record] = eventually(lambda: [each for each in collector.log_records() if "charged" in str(each["body"])])
    assert record["body"] == {"stringValue": f"charged{MASKED} by redis{MASKED}cache/0 in 0.4111111111111111 s"}
    assert record["attributes"] == [
        {"key": "session.id", "value": {"stringValue": SESSION}},
        {"key": "password", "value": {"stringValue": MASKED}},
    ]


def test_series_carry_commit(collector: Collector, prometheus: PrometheusClient) -> None:
    """Prometheus can ask for request durations by route and commit, and its exemplars lead to the trace."""
    resource: otlp.Attributes = {
        "service.name": "shop",
        "service.instance.id": "worker-1",
        "vcs.ref.head.revision": "512fbfe0c0ffee",
        "process.command_args": ["flask", "run"],
        "telemetry.sdk.language": "python",
    }
    trace_id = os.urandom(16)
    request = otlp.request_duration(resource, {"http.route": "/deals"}, seconds=0.2, trace_id=trace_id)
    post_otlp(f"{collector.otlp_http}/v1/metrics", request)
    name = "http_server_request_duration_seconds"
    selector = '{http_route="/deals", vcs_ref_head_revision="512fbfe0c0ffee"}'
    [series] = eventually(lambda: prometheus.query(f"{name}_sum{selector}"))
    assert float(series["value"][1]) == pytest.approx(0.2)
    labels = series["metric"]
    assert (labels["job"], labels["instance"]) == ("shop", "worker-1")
    assert not [label for label in labels if label.startswith(("process_", "telemetry_"))]
    [exemplar] = eventually(lambda: prometheus.exemplars(f"{name}_bucket{selector}"))
    assert exemplar["labels"]["trace_id"] == trace_id.hex()


def test_absent_tempo_holds_nothing_up(tmp_path: Path, jaeger: Jaeger, otelcol: Path) -> None:
    """With Tempo switched on and not there, spans still reach Jaeger, as fast as without it."""
    (nobody,) = free_addresses(1)
    env = {"OTELCOL_TRACES_EXPORTERS": "[otlp/jaeger, otlp/tempo]", "TEMPO_OTLP_ENDPOINT": nobody}
    with run_collector(tmp_path, jaeger_otlp_grpc=jaeger.otlp_grpc, **env) as collector:
        for number in range(20):
            started = time.monotonic()
            span = otlp.traces({"service.name": "no-tempo"}, "GET /", {"session.id": str(number)})
            post_otlp(f"{collector.otlp_http}/v1/traces", span)
            eventually(partial(jaeger.client.spans, "no-tempo", {"session.id": str(number)}))
            assert time.monotonic() - started < 3
        assert nobody in collector.process.log_tail()
