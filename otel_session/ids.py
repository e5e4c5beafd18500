"""Make, check, shorten and hash ids.

A session id of our own is 32 hex digits, a one-way derivation of 128 random bits that only the browser holds: who
reads telemetry cannot take the session over.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re

SECRET_BYTES = 16
MAX_ID_CHARS = 128

_OWN = re.compile(r"[0-9a-f]{32}")
_RUN = re.compile(r"\d{8}_\d{6}_\w+", re.ASCII)
# Letters, digits and the marks that uuid, ulid, base64, urn and mail-like ids use. No space, quote, comma,
# semicolon, backslash or control character: the value travels in headers, baggage and log lines.
_OUTSIDE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+=/~-]{0,127}")


def new_secret() -> bytes:
    """16 random bytes from the operating system: safe after any kind of fork."""
    return os.urandom(SECRET_BYTES)


def session_id_of(secret: bytes) -> str:
    """The public session id of a secret: the first 32 hex digits of its SHA-256, domain separated."""
    return hashlib.sha256(b"otel-session.id:" + secret).hexdigest()[:32]


def next_secret(secret: bytes, period: int) -> bytes:
    """The secret of the session after this one, in a period of time: the same wherever it is worked out."""
    return hashlib.sha256(b"otel-session.next:%d:" % period + secret).digest()[:SECRET_BYTES]


def secret_from(kind: str, value: bytes) -> bytes:
    """A secret made of another one that the browser holds; of the same one always the same."""
    return hashlib.sha256(b"otel-session.from:%s:" % kind.encode() + value).digest()[:SECRET_BYTES]


def new_correlation_id() -> str:
    """`req_` and 12 hex digits (feature B1)."""
    return "req_" + os.urandom(6).hex()


def is_valid_id(text: str) -> bool:
    """Whether an id from outside may be used: 1 to 128 ASCII characters, letters, digits and `._:@+=/~-`."""
    return len(text) <= MAX_ID_CHARS and _OUTSIDE.fullmatch(text) is not None


def short_id(session_id: str) -> str:
    """What log lines show (feature A2).

    The first 8 characters of an id of our own, a run id whole, and of an id from outside the first 8 hex digits of
    its SHA-256, because such ids often share their beginning.
    """
    if _OWN.fullmatch(session_id):
        return session_id[:8]
    if _RUN.fullmatch(session_id):
        return session_id
    return hashlib.sha256(session_id.encode("utf-8", "replace")).hexdigest()[:8]


def keyed_hash(value: str, key: str | bytes) -> str:
    """HMAC-SHA-256 of a private value, 32 hex digits: equal values match, nobody without the key gets them back."""
    raw_key = key.encode() if isinstance(key, str) else key
    return hmac.new(raw_key, value.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]
