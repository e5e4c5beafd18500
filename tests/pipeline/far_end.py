"""A scripted far end on the loopback interface, OTLP over HTTP and over gRPC: it answers as it is told to."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Answer:
    """How a request is answered.

    Attributes:
        status: HTTP's; over gRPC its counterpart.
        retry_after_s: What is asked for with it.
        delay_s: How long it takes.
        how: `whole`; `never`: read and no answer; `half`: half an answer, then the connection is closed.
        kept: Whether what came is counted as arrived.
        body: The answer's.
    """

    status: int = 200
    retry_after_s: int | None = None
    delay_s: float = 0.0
    how: str = "whole"
    kept: bool = True
    body: bytes = b""


OK = Answer()
EARLY = "before the fork"
"""The name of spans that are in no process's count."""
CONNECT = "connect"
"""Neither are these: as many connections are made as threads ask at a time."""
_GRPC = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


@dataclass
class FarEnd:
    """What has arrived, and what is answered from now on.

    Attributes:
        most_bytes: A larger request is refused for its size; 0 takes all.
        at_s: Each request's time, monotonic seconds.
    """

    answer: Answer = OK
    most_bytes: int = 0
    names: Counter[str] = field(default_factory=Counter)
    logs: Counter[str] = field(default_factory=Counter)
    metrics: list[Any] = field(default_factory=list)
    instances: Counter[str] = field(default_factory=Counter)
    at_s: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def repeated(self) -> int:
        """How many spans came more than once, each time counted."""
        return sum(count - 1 for count in self.names.values())

    def take(self, path: str, body: bytes) -> Answer:
        """Count one request; how it is to be answered."""
        answer = self.answer
        self.at_s.append(time.monotonic())
        self.sizes.append(len(body))
        if 0 < self.most_bytes < len(body):
            return Answer(413)
        if answer.delay_s:
            time.sleep(answer.delay_s)
        if answer.kept and answer.status == 200:
            self._keep(path, body)
        if answer.how == "never":
            self.released.wait(30)
        return answer

    def _keep(self, path: str, body: bytes) -> None:
        if "trace" in path:
            for of in ExportTraceServiceRequest.FromString(body).resource_spans:
                found = [span.name for scope in of.scope_spans for span in scope.spans]
                self.names.update(found)
                self.instances[_instance(of)] += sum(name not in (EARLY, CONNECT) for name in found)
        elif "logs" in path:
            for of in ExportLogsServiceRequest.FromString(body).resource_logs:
                self.logs.update(r.body.string_value for scope in of.scope_logs for r in scope.log_records)
        else:
            self.metrics += ExportMetricsServiceRequest.FromString(body).resource_metrics


def _instance(of: Any) -> str:
    return next((a.value.string_value for a in of.resource.attributes if a.key == "service.instance.id"), "")


class Served(FarEnd):
    """A far end that can go away and come back on the same port."""

    _stop: Any = None

    def up(self) -> None:
        """Listen."""
        raise NotImplementedError

    def down(self) -> None:
        """Refuse connections, and break those there are."""
        self.released.set()
        if self._stop is not None:
            self._stop()
            self._stop = None
        self.released = threading.Event()


class HttpFarEnd(Served):
    """OTLP/HTTP."""

    tls: SSLContext | None = None

    def up(self) -> None:
        """Listen, on the same port each time."""
        server = _Server(("127.0.0.1", self.port), _handler(self))
        if self.tls is not None:
            server.socket = self.tls.wrap_socket(server.socket, server_side=True)
            self.scheme = "https"
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            server.server_close()
            server.break_connections()
            thread.join()

        self._stop = stop


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def break_connections(self) -> None:
        for each in list(self.connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # connections break: that is what the tests are about


def _handler(far_end: HttpFarEnd) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            answer = far_end.take(self.path, body)
            if answer.how == "never":
                self.close_connection = True
                return
            if answer.how == "half":
                self.wfile.write(b"HTTP/1.1 2")
                self.connection.shutdown(socket.SHUT_WR)
                self.close_connection = True
                return
            self.send_response(answer.status)
            if answer.retry_after_s is not None:
                self.send_header("Retry-After", str(answer.retry_after_s))
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class GrpcFarEnd(Served):
    """OTLP/gRPC."""

    credentials: Any = None

    def up(self) -> None:
        """Listen, on the same port each time."""
        server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((_Rpc(self),))
        where = f"127.0.0.1:{self.port}"
        secure = self.credentials is not None
        self.scheme = "https" if secure else "http"
        self.port = server.add_secure_port(where, self.credentials) if secure else server.add_insecure_port(where)
        assert self.port, "the port is taken"
        server.start()
        self._stop = lambda: server.stop(0).wait()


class _Rpc(grpc.GenericRpcHandler):
    def __init__(self, far_end: GrpcFarEnd) -> None:
        self._far_end = far_end

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda body, context: self._answer(details.method, body, context))

    def _answer(self, method: str, body: bytes, context: Any) -> bytes:
        answer = self._far_end.take(method.lower(), body)
        if answer.how == "half":
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        if answer.status != 200:
            if answer.retry_after_s is not None:
                info = RetryInfo(retry_delay=Duration(seconds=answer.retry_after_s))
                context.set_trailing_metadata((("google.rpc.retryinfo-bin", info.SerializeToString()),))
            context.abort(_GRPC[answer.status], "message larger than max" if answer.status == 413 else "as told")
        return answer.body


@contextlib.contextmanager
def far_end(protocol: str = "http", *, up: bool = True) -> Iterator[Served]:
    """A far end on a port of its own; `up=False` has the port and does not listen yet."""
    made = GrpcFarEnd() if protocol == "grpc" else HttpFarEnd()
    made.up()
    if not up:
        made.down()
    try:
        yield made
    finally:
        made.down()
