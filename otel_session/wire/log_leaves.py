"""Log records written as bytes without an SDK object, where nobody but our own encoder listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from struct import error as StructError  # noqa: N812
from typing import Any, NamedTuple

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from ._repair import clamp_u64, to_utf8
from .encoders import EncodingLogProcessor
from .key_values import IN_LOG_RECORD, encode_attributes
from .origins import Origin, origin_of
from .short_way import ADDS_ONLY_IDS
from .varint import delimit, encode_varint

_LOG_HEAD = Struct("<cQcQcI")
_PLACE = Struct(">2s16s2sQ")
_new = tuple.__new__


def encode_severity(number: int, text: str) -> bytes:
    """The bytes of a record's severity."""
    encoded = b"\x10" + encode_varint(number) if number else b""
    return encoded + b"\x1a" + delimit(to_utf8(text))


class LogLeaf(NamedTuple):
    """What a store looks a log record up by."""

    session_id: str | None
    span: SpanContext
    time_ns: int
    severity: int


class LogWriter:
    """Writes log records of one provider."""

    def __init__(self) -> None:
        self._known: Any = None
        self._resource: Any = None
        self._encoder: EncodingLogProcessor | None = None
        self._origins: dict[str, Origin] = {}

    def writes(self, provider: Any) -> bool:
        """Whether records may be written for this provider; asked anew when it has changed."""
        try:
            known = provider._multi_log_record_processor._log_record_processors
            if known is self._known and provider._resource is self._resource:
                return self._encoder is not None
        except AttributeError:
            known = None
        self._learn(provider, known)
        return self._encoder is not None

    def _learn(self, provider: Any, processors: Any) -> None:
        self._known, self._resource = processors, getattr(provider, "_resource", None)
        self._encoder, self._origins = None, {}
        if type(provider) is not LoggerProvider or provider._disabled or not _default_log_limits(provider):
            return
        encoders = [p for p in processors or () if type(p) is EncodingLogProcessor]
        others = [p for p in processors or () if type(p) is not EncodingLogProcessor]
        if len(encoders) == 1 and all(getattr(p, ADDS_ONLY_IDS, False) for p in others):
            self._encoder = encoders[0]

    def write(
        self,
        logger: str,
        times: tuple[int, int],
        severity: tuple[int, bytes],
        body: str,
        clean: Callable[[str], str] | None,
        encoded: bytes,
        attributes: Mapping[str, Any] | None,
        span: SpanContext,
        session_id: str | None,
    ) -> None:
        """Write a record.

        Args:
            logger: Its logger's name, the scope.
            times: When it was made and observed, nanoseconds since the epoch.
            severity: OTLP's number, and the bytes from `encode_severity`.
            body: The message.
            clean: What is to be done with the message yet; must not raise.
            encoded: Attributes encoded already.
            attributes: Further ones.
            span: Where it was made; an invalid context for nowhere.
            session_id: For stores.
        """
        own = encode_attributes(attributes, IN_LOG_RECORD) if attributes else b""
        origin = self._origins.get(logger) or self._origin_of(logger)
        record = _encode, origin, times, severity, body, clean, encoded, own, span, session_id
        self._encoder.defer(record)  # type: ignore[union-attr]

    def _origin_of(self, logger: str) -> Origin:
        origin = origin_of(self._resource, InstrumentationScope(logger))
        if len(self._origins) < 1_000:
            self._origins[logger] = origin
        return origin


def _encode(record: tuple[Any, ...], looked_up: bool) -> tuple[LogLeaf | None, bytes]:
    """The bytes of a record, and what a store looks it up by."""
    _, _, times, (number, told), body, clean, encoded, own, span, session_id = record
    trace_id, span_id, _, flags, _, is_valid = span
    text = to_utf8(body if clean is None else clean(body))
    size = encode_varint(len(text))
    place = _PLACE.pack(b"\x4a\x10", trace_id.to_bytes(16, "big"), b"\x52\x08", span_id) if is_valid else b""
    try:
        head = _LOG_HEAD.pack(b"\t", times[0], b"\x59", times[1], b"\x45", flags)
    except StructError:  # a test's own clock
        head = _LOG_HEAD.pack(b"\t", clamp_u64(times[0]), b"\x59", clamp_u64(times[1]), b"\x45", flags)
    whole = b"".join(
        (
            head,
            b"\x2a",
            encode_varint(1 + len(size) + len(text)),
            b"\n",
            size,
            text,
            encoded,
            own,
            told,
            place,
        )
    )
    return (_new(LogLeaf, (session_id, span, times[0], number)) if looked_up else None), whole


def _default_log_limits(provider: Any) -> bool:
    limits = getattr(provider, "_log_record_limits", None)
    return limits is None or getattr(limits, "max_log_record_attribute_length", None) is None
