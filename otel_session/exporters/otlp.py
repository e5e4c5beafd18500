"""Encoded batches out by the official OTLP exporters' own transports, HTTP and gRPC.

Endpoints, headers, certificates, compression and time-outs are the official exporter's, as the standard variables say.
Its transport has no public name: it is reached for here only, and where it is not as expected there is no consumer and
the stock pipeline does the work.
"""

from __future__ import annotations

import logging
from typing import Any

from otel_session import wire
from otel_session.wire.lanes import KEPT, Batch, Consumer, Outcome

_SERVICES = {
    "spans": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "log records": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_RETRYABLE_STATUS = frozenset({408, 429, 502, 503, 504})  # OTLP/HTTP, "Retryable Response Codes"; 408 as proxies use it
_MAX_REASON_CHARS = 200


def consumer_for(exporter: Any, what: str) -> Consumer | None:
    """A consumer that sends by an official exporter's transport; None when the exporter is of another kind.

    Args:
        exporter: As the SDK made it.
        what: `spans` or `log records`.
    """
    module = type(exporter).__module__
    if module.startswith("opentelemetry.exporter.otlp.proto.http") and _has_http_client(exporter):
        return HttpConsumer(exporter)
    if module.startswith("opentelemetry.exporter.otlp.proto.grpc") and hasattr(exporter, "_channel"):
        return GrpcConsumer(exporter, _SERVICES[what])
    return None


def _has_http_client(exporter: Any) -> bool:
    client = getattr(exporter, "_client", None)
    return callable(getattr(client, "export", None)) and hasattr(client, "_transport")


def _framed(batch: Batch) -> bytes:
    return wire.frame_request(batch.items)


class _Listening:
    """The transport, remembering how long the far end asked to be left alone."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.retry_after: str | None = None

    def request(self, *args: Any, **kwargs: Any) -> Any:
        result = self._transport.request(*args, **kwargs)
        try:
            self.retry_after = result.headers().get("retry-after") if result.status_code else None
        except Exception:
            self.retry_after = None
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class HttpConsumer:
    """OTLP/HTTP. One attempt is the official client's, its own retries within the export time-out included."""

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self._client = exporter._client
        self._listening = self._client._transport = _Listening(self._client._transport)
        # It writes a line for each failure; the worker says when delivery begins to fail and when it works again.
        self._client._logger = logging.getLogger("otel_session.transport")
        self._client._logger.disabled = True
        self.name = str(getattr(exporter, "_endpoint", "OTLP"))

    def consume(self, batch: Batch) -> Outcome:
        """Send a batch."""
        data = _framed(batch)
        most = getattr(self._exporter, "_max_request_size", 0) or 0
        if 0 < most < len(data):
            return Outcome(False, reason=f"the request has {len(data)} bytes, more than the {most} allowed")
        result = self._client.export(data)
        if result.success:
            return KEPT
        status, error = result.status_code, result.error
        if status is not None:
            reason = f"the far end answered {status} {result.reason or ''}".strip()
            return Outcome(False, status in _RETRYABLE_STATUS, self._asked_pause(), reason)
        reason = f"{type(error).__name__}: {error}"[:_MAX_REASON_CHARS] if error is not None else "given up at exit"
        return Outcome(False, True, None, reason, sent=_may_have_arrived(error))

    def _asked_pause(self) -> float | None:
        value = self._listening.retry_after
        return min(float(value), 300.0) if value is not None and value.strip().isdigit() else None

    def abort(self) -> None:
        """Wake a wait between retries, and close the connection."""
        event = getattr(self._client, "_shutdown_event", None)
        if event is not None:
            event.set()
        self._listening.close()

    def after_fork(self) -> None:
        """Drop the parent's connections; new ones are made when needed."""
        try:
            self._listening.close()
        except Exception:  # a connection that is half closed already
            pass


def _may_have_arrived(error: BaseException | None) -> bool:
    words = f"{type(error).__name__} {error}"
    return not any(
        w in words for w in ("NewConnectionError", "refused", "ConnectTimeout", "NameResolution", "SSLError")
    )


class GrpcConsumer:
    """OTLP/gRPC: a unary call on the exporter's channel that takes bytes as they are."""

    def __init__(self, exporter: Any, method: str) -> None:
        self._exporter = exporter
        self._method = method
        self._call: Any = None
        self._aborted = False
        self.name = str(getattr(exporter, "_endpoint", "OTLP"))

    def consume(self, batch: Batch) -> Outcome:
        """Send a batch, in one call."""
        import grpc

        if self._call is None:
            self._call = self._exporter._channel.unary_unary(self._method)
        try:
            self._call(_framed(batch), metadata=self._exporter._headers, timeout=self._exporter._timeout)
            return KEPT
        except grpc.RpcError as error:
            return self._judged(error, grpc)
        except ValueError as error:  # the channel was closed under us
            return Outcome(False, not self._aborted, None, str(error)[:_MAX_REASON_CHARS])

    def _judged(self, error: Any, grpc: Any) -> Outcome:
        code = error.code()
        retry = code in self._exporter._retryable_error_codes
        reason = f"{code.name}: {error.details()}"[:_MAX_REASON_CHARS]
        lost = code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
        return Outcome(False, retry, _pause_of(error), reason, sent=lost)

    def abort(self) -> None:
        """Close the channel: a call under way ends."""
        self._aborted = True
        self._exporter._channel.close()

    def after_fork(self) -> None:
        """A channel does not survive a fork: make one anew."""
        self._call = None
        self._exporter._initialize_channel_and_stub()


def _pause_of(error: Any) -> float | None:
    """Seconds that the far end asked for (google.rpc.RetryInfo), None when it did not."""
    details = dict(error.trailing_metadata() or ()).get("google.rpc.retryinfo-bin")
    if details is None:
        return None
    from google.rpc.error_details_pb2 import RetryInfo

    info = RetryInfo.FromString(details)
    pause_s: float = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
    return min(pause_s, 300.0)
