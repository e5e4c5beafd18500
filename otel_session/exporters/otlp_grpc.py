"""OTLP/gRPC: a unary call on the official exporter's channel that takes bytes as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_session import wire
from otel_session.exporters.grpc_forks import calls
from otel_session.exporters.otlp_answers import of_body
from otel_session.wire.batches import Batch, Outcome

_SERVICES = {
    "spans": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "log records": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "data points": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
_KINDS = {
    "spans": "otlp_grpc_span_exporter",
    "log records": "otlp_grpc_log_exporter",
    "data points": "otlp_grpc_metric_exporter",
}
_NAMES = ("_channel", "_headers", "_timeout", "_retryable_error_codes", "_initialize_channel_and_stub", "_insecure")
_MOST_CHARS = 200
_MOST_PAUSE_S = 300.0
_ADVICE = {
    "UNAUTHENTICATED": "Check OTEL_EXPORTER_OTLP_HEADERS",
    "PERMISSION_DENIED": "Check OTEL_EXPORTER_OTLP_HEADERS",
    "UNIMPLEMENTED": "Check OTEL_EXPORTER_OTLP_ENDPOINT: 4317 is gRPC, 4318 is HTTP",
    "UNAVAILABLE": "Start it, or correct OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_CERTIFICATE",
    "DEADLINE_EXCEEDED": "See its own log, or OTEL_EXPORTER_OTLP_TIMEOUT",
}
# Channels of parent processes: closing one, or its disposal, might wait for threads that are not here.
_abandoned: list[Any] = []


class GrpcConsumer:
    """One attempt is one call; the lane waits between attempts as the official exporter does."""

    def __init__(self, exporter: Any, what: str) -> None:
        # Not in its thread: a fork in the middle of an import would leave it locked for ever in the child.
        import grpc
        from google.rpc.error_details_pb2 import RetryInfo

        self._grpc, self._retry_info, self._calls = grpc, RetryInfo, calls()
        self._exporter = exporter
        self._method = _SERVICES[what]
        self._call: Any = None
        self._renew = self._forked = self._aborted = False
        endpoint = str(getattr(exporter, "_endpoint", "OTLP"))
        self.name = f"{'http' if exporter._insecure else 'https'}://{endpoint}"
        self.kind = _KINDS[what]

    @staticmethod
    def fits(exporter: Any) -> bool:
        """Whether all that is reached for is there."""
        return all(hasattr(exporter, name) for name in _NAMES)

    def consume(self, batch: Batch, timeout_s: float | None = None) -> Outcome:
        """Send a batch, in one call."""
        grpc = self._grpc
        exporter = self._exporter
        if self._renew:
            self._open()
        if self._call is None:
            self._call = exporter._channel.unary_unary(self._method)
        limit_s = exporter._timeout if timeout_s is None else min(exporter._timeout, timeout_s)
        try:
            with self._calls:
                body = self._call(wire.frame_request(batch.items), metadata=exporter._headers, timeout=limit_s)
            return of_body(body)
        except grpc.RpcError as error:
            return self._judged(error, grpc.StatusCode)
        except ValueError:  # the channel was closed under us
            return Outcome(False, not self._aborted, cause="closed")

    def _judged(self, error: Any, codes: Any) -> Outcome:
        code, details = error.code(), (error.details() or "")[:_MOST_CHARS]
        pause_s = self._pause_of(error)
        connected = pause_s is None and "failed to connect" not in details.lower()
        if code is codes.UNAVAILABLE:
            self._renew = (
                True  # one that could not connect waits longer each time; the official exporter does this, too
            )
        unanswered = connected and code in (codes.UNAVAILABLE, codes.DEADLINE_EXCEEDED, codes.CANCELLED)
        too_large = code is codes.RESOURCE_EXHAUSTED and "larger than max" in details
        reason = "" if self._aborted else f"{code.name}: {details}. {_ADVICE.get(code.name, 'See its own log')}"
        retry = code in self._exporter._retryable_error_codes and not too_large
        return Outcome(False, retry, pause_s, code.name, reason, doubtful=unanswered, too_large=too_large)

    def _open(self) -> None:
        if self._forked:
            _abandoned.append(self._exporter._channel)
        else:
            self._exporter._channel.close()
        self._renew = self._forked = False
        self._call = None
        self._exporter._initialize_channel_and_stub()

    def watch(self, trouble: Callable[[Outcome], None]) -> None:
        """One attempt is one call: there is nothing to hear of in the middle of it."""

    def hasten(self) -> None:
        """One attempt is one call."""

    def end(self) -> None:
        """Close the channel: a call under way ends."""
        self._aborted = True
        if self._forked:  # the parent's: to close it here would end the connection that the parent uses
            _abandoned.append(self._exporter._channel)
        else:
            self._exporter._channel.close()

    def after_fork(self) -> None:
        """A channel does not survive a fork: its thread makes one anew, and leaves the parent's as it is."""
        self._call = None
        self._renew = self._forked = True

    def _pause_of(self, error: Any) -> float | None:
        """Seconds that the far end asked for (google.rpc.RetryInfo), None when it did not."""
        details = dict(error.trailing_metadata() or ()).get("google.rpc.retryinfo-bin")
        if details is None:
            return None
        info = self._retry_info.FromString(details)
        pause_s: float = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
        return min(pause_s, _MOST_PAUSE_S)
