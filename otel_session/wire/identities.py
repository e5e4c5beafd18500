"""Session, correlation id and user as OTLP bytes: made once for each request, and carried by all that it writes."""

from __future__ import annotations

from otel_session import attributes as names
from otel_session.context import Identity

from .key_values import IN_LOG_RECORD, IN_SPAN, encode_attributes
from .values import encode_text_pair


def encode_for_span(identity: Identity) -> bytes:
    """The attributes of an identity as a span has them; kept in it."""
    found = identity.encoded
    if found is None:
        found = identity.encoded = _encode(identity, IN_SPAN)
    return found


def encode_for_log_record(identity: Identity) -> bytes:
    """The same as a log record has them."""
    found = identity.encoded_for_logs
    if found is None:
        found = identity.encoded_for_logs = _encode(identity, IN_LOG_RECORD)
    return found


def _encode(identity: Identity, field: bytes) -> bytes:
    # A correlation id is another each time: nothing is gained by keeping it.
    correlation_id = identity.attributes[names.CORRELATION_ID]
    rest = {name: value for name, value in identity.attributes.items() if name != names.CORRELATION_ID}
    return field + encode_text_pair(names.CORRELATION_ID, correlation_id) + encode_attributes(rest, field)
