"""Session, correlation id and user as OTLP bytes: made once for each request, and carried by all that it writes."""

from __future__ import annotations

from collections.abc import Mapping

from otel_session import attributes as names
from otel_session.context import Identity

from .key_values import IN_LOG_RECORD, IN_SPAN, encode_attributes
from .values import encode_text_pair


def encode_for_span(identity: Identity) -> bytes:
    """The attributes of an identity as a span has them; kept in it."""
    found = identity.encoded
    if found is None:
        pairs = [b""]
        for name, value in identity.attributes.items():
            # A correlation id is another each time: nothing is gained by keeping it.
            once = name == names.CORRELATION_ID
            pairs.append(encode_text_pair(name, value) if once else encode_attributes({name: value}, b""))
        found = identity.encoded = IN_SPAN.join(pairs)
        identity.encoded_for_logs = IN_LOG_RECORD.join(pairs)
    return found


def encode_as_it_was(identity: Identity, attributes: Mapping[str, str]) -> bytes:
    """The attributes that an identity had when something ended, as a span has them.

    Args:
        identity: Whose they are.
        attributes: What `identity.attributes` was then; it is another dictionary whenever something has changed.
    """
    if identity.attributes is attributes:
        return identity.encoded or encode_for_span(identity)
    return encode_attributes(attributes)


def tell_as_it_was(identity: Identity | None, attributes: Mapping[str, str]) -> tuple[bytes, str | None]:
    """The same, and the session id that a store looks it up by; nothing of nobody."""
    if identity is None:
        return b"", None
    return encode_as_it_was(identity, attributes), attributes.get(names.SESSION_ID)


def encode_for_log_record(identity: Identity) -> bytes:
    """The same as a log record has them."""
    encode_for_span(identity)
    return identity.encoded_for_logs or b""
