"""JSON lines of the unmodified example: each parses, and its ids lead into the local store and into Jaeger."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.backends import deals
from tests.backends.clients import eventually
from tests.backends.harness import Jaeger
from tests.started import Telemetry

SERVICE = "deals-json-lines"
ALWAYS = {
    *("timestamp", "level", "logger", "message", "correlation_id", "session_id", "user_id"),
    *("trace_id", "span_id", "commit", "module", "function", "line"),
}


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory, jaeger: Jaeger) -> tuple[list[str], Telemetry, str]:
    """What the app wrote while five browsers visited it, what is in its store, and its commit."""
    settings = {
        "OTEL_SERVICE_NAME": SERVICE,
        "OTEL_SESSION_LOG_FORMAT": "json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp_http,
        "OTEL_TRACES_EXPORTER": "otlp,otel_session_local",
        "OTEL_LOGS_EXPORTER": "otel_session_local",
        "OTEL_METRICS_EXPORTER": "none",
    }
    with deals.run_deals(Path(sys.executable), tmp_path_factory.mktemp("json"), **settings) as running:
        deals.visit_at_once(running.app.url)
        telemetry = running.app.telemetry()
    # What Flask prints itself is no log line.
    lines = [line for line in running.app.written().splitlines() if not line.startswith(" * ")]
    return lines, telemetry, running.commit


@pytest.fixture(scope="module")
def parsed(visited: tuple[list[str], Telemetry, str]) -> list[dict[str, Any]]:
    """The lines; one that is no JSON object fails here."""
    return [json.loads(line) for line in visited[0]]


@pytest.fixture(scope="module")
def in_requests(parsed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that a request, or a thread that it started, wrote."""
    found = [line for line in parsed if line["session_id"]]
    assert len(found) > 40
    return found


def test_fields(parsed: list[dict[str, Any]], visited: tuple[list[str], Telemetry, str]) -> None:
    """Each has the fields of every line, in their formats; what went wrong has its error."""
    for line in parsed:
        assert set(line) >= ALWAYS
        assert line["timestamp"].endswith("Z")
        assert abs((datetime.now(timezone.utc) - datetime.fromisoformat(line["timestamp"][:-1] + "+00:00")).days) <= 1
        assert line["commit"] == visited[2][:7]
        assert line["user_id"] == "anonymous" or len(line["user_id"]) == 32
    (broken,) = [line for line in parsed if "error" in line]
    assert broken["error"]["type"] == "ZeroDivisionError"
    assert broken["error"]["traceback"].startswith("Traceback (most recent call last):\n")


def test_ids(in_requests: list[dict[str, Any]]) -> None:
    """Five visits are five sessions, and each line of a request has all its ids."""
    assert len({line["session_id"] for line in in_requests}) == 5
    assert all(line["correlation_id"].startswith("req_") for line in in_requests)
    assert all(len(line["trace_id"]) == 32 and len(line["span_id"]) == 16 for line in in_requests)


def test_local_store(in_requests: list[dict[str, Any]], visited: tuple[list[str], Telemetry, str]) -> None:
    """Its trace and span are in the store, in its session, and so is the log record, with the same ids."""
    telemetry = visited[1]
    spans = {
        (span.trace_id, span.span_id): session_id for session_id, found in telemetry.spans.items() for span in found
    }
    for line in in_requests:
        assert spans[line["trace_id"], line["span_id"]] == line["session_id"]
    records = Counter(
        (log.scope, log.session_id, log.attributes["correlation.id"], log.trace_id, log.span_id)
        for found in telemetry.logs.values()
        for log in found
        if not log.event_name
    )
    keys = ("logger", "session_id", "correlation_id", "trace_id", "span_id")
    assert Counter(tuple(line[key] for key in keys) for line in in_requests) == records


def test_jaeger(in_requests: list[dict[str, Any]], jaeger: Jaeger) -> None:
    """Its trace and span are in Jaeger."""
    wanted = {(line["trace_id"], line["span_id"]) for line in in_requests}

    def missing() -> bool:
        return not wanted - {(span["traceID"], span["spanID"]) for span in jaeger.client.spans(SERVICE)}

    assert eventually(missing)
