"""What must not leave, taken out of texts: header values, URL parameters, and SQL values in errors (feature B8)."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from otel_session._patterns import lazily
from otel_session.sql_errors import MASK, without_values

__all__ = ["MASK", "is_sensitive", "mask_query", "text"]

_SENSITIVE = lazily(
    r"passw(or)?d|passphrase|\bpwd\b|secret|token|authorization|cookie|api[-_]?key|access[-_]?key|credential|signature|"
    r"session[-_]?key|private[-_]?key|card[-_]?num|\bcvv\b|\bcvc\b|\biban\b|\bsig\b|csrf|xsrf|\bauth\b",
    re.IGNORECASE,
)
_URL_PARAMETER = lazily(r"([?&;])([\w.\-\[\]%+]{1,64})=([^&;\s\"'<>]+)")
_URL_PASSWORD = lazily(r"(://[^\s/:@'\"]{0,128}):[^\s/@'\"]+@")
_PASSWORD = lazily(r"\b(passw(?:or)?d|passphrase|pwd)=('[^']*'|\"[^\"]*\"|[^\s&;,'\")\]]+)", re.IGNORECASE)


def is_sensitive(name: str) -> bool:
    """Whether a header, parameter or key of this name holds what must not leave."""
    return _SENSITIVE.search(name) is not None


def mask_query(query: str) -> str:
    """A URL's query string with the values of sensitive parameters replaced; unchanged when there are none."""
    if not query or ("%" not in query and _SENSITIVE.search(query) is None):
        return query
    parts = []
    for part in re.split("([&;])", query):
        name, equals, _ = part.partition("=")
        parts.append(f"{name}={MASK}" if equals and is_sensitive(unquote_plus(name)) else part)
    return "".join(parts)


def text(value: str) -> str:
    """A text without SQL details, without passwords, and without the values of sensitive URL parameters.

    Of a SQLAlchemy error that stands in it, the statement, the parameters and the driver's message go; so do the
    words of the database error being handled at this moment. Takes time in proportion to the text's length.
    """
    value = without_values(value)
    if "=" in value:
        if "?" in value or "&" in value:
            value = _URL_PARAMETER.sub(_masked_parameter, value)
        value = _PASSWORD.sub(r"\1=" + MASK, value)
    if "://" in value and "@" in value:
        value = _URL_PASSWORD.sub(r"\1:" + MASK + "@", value)
    return value


def _masked_parameter(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}={MASK}" if is_sensitive(unquote_plus(match[2])) else match[0]
