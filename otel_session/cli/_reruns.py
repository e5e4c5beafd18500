"""What a line says of a Streamlit rerun and of what is inside: why it ran, how it ended, what was called."""

from __future__ import annotations

from otel_session import attributes as names
from otel_session.store.views import SpanView, text

_USUAL = ("", "ok", "error")
"""Outcomes that a line need not name: an error has its own mark."""
_CALLS = (names.SPAN_CALLBACK, names.SPAN_CACHE_MISS)


def outcome(span: SpanView) -> str:
    """`rerun` or `stopped` of a rerun that did not run to its end, else ``""``."""
    found = text(span.attributes, names.RERUN_OUTCOME)
    return "" if found in _USUAL else found


def about(span: SpanView) -> str:
    """Why a rerun ran, with the widgets' keys; of a callback or a cache miss the function; of a connection its name."""
    if span.name in _CALLS:
        return text(span.attributes, names.CODE_FUNCTION_NAME)
    if span.name == names.SPAN_CONNECTION:
        return text(span.attributes, names.CONNECTION_NAME)
    cause = text(span.attributes, names.RERUN_CAUSE).replace("_", " ")
    keys = span.attributes.get(names.WIDGET_KEYS)
    return f"{cause} {', '.join(map(str, keys))}" if cause and isinstance(keys, list) else cause
