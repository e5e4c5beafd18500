"""A small OTLP/HTTP receiver that keeps what is posted to it, decoded."""

import contextlib
import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_REQUESTS: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
}


class Sink:
    """What has arrived, as plain data.

    Attributes:
        url: For OTEL_EXPORTER_OTLP_ENDPOINT.
        spans: (name, scope, attributes, resource) of each span.
        logs: (body, attributes, event name) of each log record.
        metrics: The metrics' names.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = []
        self.logs: list[tuple[str, dict[str, Any], str]] = []
        self.metrics: set[str] = set()

    def take(self, path: str, body: bytes) -> None:
        """Decode one request."""
        request = _REQUESTS[path].FromString(body)
        for of_resource in getattr(request, "resource_spans", ()):
            resource = _plain(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self.spans += [(s.name, of_scope.scope.name, _plain(s.attributes), resource) for s in of_scope.spans]
        for of_resource in getattr(request, "resource_logs", ()):
            for of_scope in of_resource.scope_logs:
                self.logs += [(r.body.string_value, _plain(r.attributes), r.event_name) for r in of_scope.log_records]
        for of_resource in getattr(request, "resource_metrics", ()):
            for of_scope in of_resource.scope_metrics:
                self.metrics.update(m.name for m in of_scope.metrics)

    def messages(self, session_id: str) -> list[str]:
        """A session's log lines, events and the server's access lines left out."""
        mine = [body for body, has, _ in self.logs if has.get("session.id") == session_id]
        return [body for body in mine if body and " HTTP/1." not in body]


def _plain(attributes: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in attributes}


@contextlib.contextmanager
def listening() -> Iterator[Sink]:
    """A receiver on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            sink.take(self.path, body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sink = Sink(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()
