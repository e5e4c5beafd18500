"""What the back ends hold of one service, flattened for comparison with what its clients saw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tests.backends.clients import Json, resource_of, tags_of
from tests.backends.harness import Collector

SESSION = "session.id"
CORRELATION = "correlation.id"


@dataclass(frozen=True)
class Span:
    """A span as Jaeger has it; times are microseconds since the epoch."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_us: int
    end_us: int
    tags: Json
    resource: Json

    @property
    def ids(self) -> tuple[str, str]:
        """Session and correlation id; empty where they are missing."""
        return self.tags.get(SESSION, ""), self.tags.get(CORRELATION, "")

    @property
    def is_request(self) -> bool:
        """Whether it is a server's span."""
        return bool(self.tags["span.kind"] == "server")

    @property
    def is_statement(self) -> bool:
        """Whether it is one SQL statement, under the stable or the former name."""
        return "db.query.text" in self.tags or "db.statement" in self.tags

    @property
    def request(self) -> tuple[str, str, int]:
        """Method, path and status of a server's span, under the stable or the former names."""
        tags = self.tags
        method = tags.get("http.request.method") or tags.get("http.method")
        path = tags.get("url.path") or tags.get("http.target")
        status = tags.get("http.response.status_code") or tags.get("http.status_code")
        return str(method), str(path), int(status or 0)


@dataclass(frozen=True)
class LogRecord:
    """A log record that has left the Collector."""

    logger: str
    event: str
    text: str
    trace_id: str
    attributes: Json
    resource: Json

    @property
    def ids(self) -> tuple[str, str]:
        """Session and correlation id; empty where they are missing."""
        return self.attributes.get(SESSION, ""), self.attributes.get(CORRELATION, "")


def spans_of(traces: Sequence[Json]) -> list[Span]:
    """Flatten Jaeger's traces."""
    return [_span(trace, span) for trace in traces for span in trace["spans"]]


def _span(trace: Json, span: Json) -> Span:
    start = span["startTime"]
    parents = [link["spanID"] for link in span["references"] if link["refType"] == "CHILD_OF"]
    parent = parents[0] if parents else ""
    end = start + span["duration"]
    resource = resource_of(trace, span)
    return Span(trace["traceID"], span["spanID"], parent, span["operationName"], start, end, tags_of(span), resource)


def logs_of(collector: Collector, service: str) -> list[LogRecord]:
    """The log records of one service that have left the Collector so far."""
    if not collector.logs_file.exists():
        return []
    found = []
    whole_lines = collector.logs_file.read_text(encoding="utf-8").split("\n")[:-1]
    for resource_logs in (each for line in whole_lines for each in json.loads(line)["resourceLogs"]):
        resource = _plain(resource_logs["resource"]["attributes"])
        if resource["service.name"] != service:
            continue
        for scope in resource_logs["scopeLogs"]:
            found += [_log(scope["scope"]["name"], record, resource) for record in scope["logRecords"]]
    return found


def _log(logger: str, record: Json, resource: Json) -> LogRecord:
    text = str(record.get("body", {}).get("stringValue", ""))
    attributes = _plain(record.get("attributes", []))
    return LogRecord(logger, record.get("eventName", ""), text, record.get("traceId", ""), attributes, resource)


def _plain(attributes: Sequence[Json]) -> Json:
    return {each["key"]: next(iter(each["value"].values()), None) for each in attributes}
