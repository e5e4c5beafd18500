"""Spans of operations: what they were told beside their name, and which log lines only repeat them."""

from __future__ import annotations

from otel_session import attributes as names
from otel_session.cli._text import first_line
from otel_session.store.views import LogView, SpanView, text

_ENDINGS = ("_start", "_complete", "_failed")
_OPERATION = "operation"


def repeats(log: LogView, span: SpanView) -> bool:
    """Whether a log record of the span is its operation's own start, complete or failed line."""
    name = text(span.attributes, names.OPERATION_NAME)
    if not name or text(log.attributes, _OPERATION) != name:
        return False
    return log.message.startswith(name) and log.message[len(name) :] in _ENDINGS


def metadata(span: SpanView) -> str:
    """`rows=6 source=ftp`: what was told beside the operation's name, on one line; `""` when nothing was."""
    start = f"{names.OPERATION_METADATA}."
    told = {key.removeprefix(start): value for key, value in span.attributes.items() if key.startswith(start)}
    return " ".join(f"{key}={first_line(_word(value))[0]}" for key, value in sorted(told.items()))


def _word(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
