"""What must not leave, taken out of texts: header values, URL parameters, and SQL values in errors (feature B8)."""

from __future__ import annotations

import re

MASK = "[redacted]"

_SENSITIVE = re.compile(
    r"passw(or)?d|passwd|\bpwd\b|secret|token|authorization|cookie|api[-_]?key|credential|signature|"
    r"session[-_]?key|private[-_]?key|card[-_]?num|\bcvv\b|\bcvc\b|\biban\b|\bsig\b|csrf|xsrf|\bauth\b",
    re.IGNORECASE,
)
_SQL_DETAILS = re.compile(
    # the driver's words, then SQLAlchemy's statement and parameters, up to its link or the end of the text
    r"(?P<type>\((?:[\w<>]+\.)+\w+\))[^\n]*(?:\n(?!\s*File \")[^\n]*)*?\n?\[SQL: .*?"
    r"(?:\n?\(Background on this error at: [^)\n]*\)|\Z)",
    re.DOTALL,
)
_PARAMETERS = re.compile(r"\[(?:SQL|parameters|generated in|cached since)[^\n]*?: .*?(?=\n\(Background|\Z)", re.DOTALL)
_DETAIL_LINES = re.compile(r"^(DETAIL|HINT|CONTEXT|STATEMENT):.*$", re.MULTILINE)
_URL_PARAMETER = re.compile(r"([?&;])([\w.\-\[\]]{1,64})=([^&;\s\"'<>]+)")


def is_sensitive(name: str) -> bool:
    """Whether a header, parameter or key of this name holds what must not leave."""
    return _SENSITIVE.search(name) is not None


def mask_query(query: str) -> str:
    """A URL's query string with the values of sensitive parameters replaced; unchanged when there are none."""
    if not query or _SENSITIVE.search(query) is None:
        return query
    parts = []
    for part in query.split("&"):
        name, equals, _ = part.partition("=")
        parts.append(f"{name}={MASK}" if equals and is_sensitive(name) else part)
    return "&".join(parts)


def text(value: str) -> str:
    """A text without SQL details and without the values of sensitive URL parameters.

    Of a SQLAlchemy error that stands in it, the statement, the parameters and the driver's message go.
    """
    if "[SQL:" in value or "[parameters:" in value:
        value = _SQL_DETAILS.sub(r"\g<type> " + MASK, value)
        value = _PARAMETERS.sub(MASK, value)
    if "DETAIL:" in value:
        value = _DETAIL_LINES.sub(r"\1: " + MASK, value)
    if "?" in value and "=" in value:
        value = _URL_PARAMETER.sub(_masked_parameter, value)
    return value


def _masked_parameter(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}={MASK}" if is_sensitive(match[2]) else match[0]
