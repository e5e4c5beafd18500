"""What a far end's answer, or its silence, means: try again or not, and what to tell a person."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_session.wire.batches import KEPT, Outcome

_RETRYABLE = frozenset({408, 429, 502, 503, 504})  # OTLP/HTTP, "Retryable Response Codes"; 408 as proxies use it
_DOUBTFUL = frozenset({408, 502, 504})  # a proxy's answer: what is behind it may have the batch
_MOST_PAUSE_S = 300.0
_MOST_CHARS = 200
_ADVICE = {
    401: "Check OTEL_EXPORTER_OTLP_HEADERS",
    403: "Check OTEL_EXPORTER_OTLP_HEADERS",
    404: "Check OTEL_EXPORTER_OTLP_ENDPOINT: its path and its port (4318 is HTTP, 4317 is gRPC)",
    405: "Check OTEL_EXPORTER_OTLP_ENDPOINT: its path and its port (4318 is HTTP, 4317 is gRPC)",
    429: "It has more than it can take: give it more resources, or sample",
    503: "It has more than it can take, or is starting: see its own log",
}


def of_status(status: int, words: str, retry_after: str | None) -> Outcome:
    """What an HTTP status other than success means."""
    retry = status in _RETRYABLE
    advice = _ADVICE.get(status, "See its own log")
    reason = f"it answered {status} {words}".strip() + (". " if retry else ", so this is dropped. ") + advice
    return Outcome(
        False,
        retry,
        pause_of(retry_after) if retry else None,
        str(status),
        reason,
        doubtful=status in _DOUBTFUL,
        too_large=status == 413,
    )


def pause_of(retry_after: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for, as a number or a date; at most 300, None when it does not say."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after.strip()).timestamp() - time.time()
        except (TypeError, ValueError):
            return None
    return min(max(seconds, 0.0), _MOST_PAUSE_S) if seconds == seconds else None


def of_body(body: bytes) -> Outcome:
    """What an answer of success says: all is kept, or some was refused (OTLP, "Partial Success").

    The message is the same for spans and log records.
    """
    if not body:
        return KEPT
    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except Exception:  # an answer in another form than was asked for; its status is what counts
        return KEPT
    if not partial.rejected_spans:
        return KEPT
    said = partial.error_message[:_MOST_CHARS] or "it does not say why"
    return Outcome(True, cause="rejected", reason=f"it refuses some: {said}", rejected=partial.rejected_spans)


def of_error(error: BaseException | None, endpoint: str) -> Outcome:
    """What a request without an answer means. All of it may be tried again."""
    kinds = {type(e).__name__: e for e in _chain(error)}
    # Of the errors around each other, the one that says most; what a person reads stays the same from time to time.
    if "NameResolutionError" in kinds or any(isinstance(e, socket.gaierror) for e in kinds.values()):
        return _unsent("NameResolutionError", f"the name of its host is not known. Check {endpoint}")
    if "SSLError" in kinds or "SSLCertVerificationError" in kinds:
        why = getattr(kinds.get("SSLCertVerificationError"), "verify_message", "") or "TLS failed"
        return _unsent("SSLError", f"{why} (TLS). Check OTEL_EXPORTER_OTLP_CERTIFICATE and the far end's certificate")
    if "ConnectionRefusedError" in kinds:
        return _unsent("ConnectionRefusedError", f"nobody listens there. Start it, or correct {endpoint}")
    if kinds.keys() & {"ConnectTimeout", "ConnectTimeoutError"}:
        return _unsent("ConnectTimeout", f"it cannot be reached. Check the network and {endpoint}")
    if "NewConnectionError" in kinds:
        return _unsent("NewConnectionError", f"it cannot be reached. Check the network and {endpoint}")
    if kinds.keys() & {"ReadTimeout", "ReadTimeoutError", "TimeoutError"}:
        return _unanswered("ReadTimeout", "it does not answer in time. See its own log, or OTEL_EXPORTER_OTLP_TIMEOUT")
    if error is None:
        return _unanswered("cancelled", "")  # the process ends
    kind = next(reversed(kinds))
    return _unanswered(kind, f"the connection broke ({kind}). See its own log")


def _unsent(cause: str, reason: str) -> Outcome:
    return Outcome(False, True, cause=cause, reason=reason)


def _unanswered(cause: str, reason: str) -> Outcome:
    return Outcome(False, True, cause=cause, reason=reason, doubtful=True)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those inside it, outermost first: urllib3 has them as `reason` or argument, others as cause."""
    seen: set[int] = set()
    todo = [error]
    while todo:
        at = todo.pop()
        if isinstance(at, BaseException) and id(at) not in seen:
            seen.add(id(at))
            yield at
            inside = [getattr(at, "reason", None), *at.args, at.__cause__, at.__context__]
            todo += [e for e in inside if isinstance(e, BaseException)]
