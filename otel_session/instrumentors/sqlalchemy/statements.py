"""SQL text -> what may be said of it: operation, tables, a summary, and the text without literal values.

Semantic conventions, database spans: `db.operation.name`, `db.collection.name`, `db.query.summary`,
`db.query.text`. One pass of one regular expression; the result is cached by statement.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from otel_session.instrumentors.sqlalchemy.outline import Outline
from otel_session.instrumentors.sqlalchemy.tokens import pattern_of, readable

MAX_TEXT_CHARS = 8_192
"""Longer statements are cut in `db.query.text`, and read only twice this far for their tables."""
_MAX_SUMMARY_CHARS = 255
_MAX_TABLES = 6
_GONE = {"comment": " ", "string": "?", "number": "?"}


class Statement(NamedTuple):
    """What telemetry says of one SQL text.

    Attributes:
        operation: First keyword in capitals (`SELECT`), the main one after a WITH clause; empty for an empty text.
        tables: Names in order of appearance, at most 6, without quotes; CTE names left out.
        summary: `SELECT deal owner`: operations and their tables as they come (`INSERT deal SELECT offer`), at most
            255 characters; names the span.
        text: The statement with every literal replaced by `?` and comments left out, at most 8,192 characters.
    """

    operation: str
    tables: tuple[str, ...]
    summary: str
    text: str


def read(sql: str, system: str = "") -> Statement:
    """Read a statement.

    Args:
        sql: The text as the driver gets it.
        system: `db.system.name`. On MySQL and MariaDB `"…"` is a string, on SQLite it may be one, elsewhere a name.
    """
    known, cut = readable(sql, MAX_TEXT_CHARS * 2)
    outline = Outline()
    written, end = [], 0
    for match in pattern_of(system).finditer(known):
        written.append(known[end : match.start()])
        end = match.end()
        kind = "string" if match.lastgroup in ("tag", "q") else str(match.lastgroup)
        if kind == "stop":
            end, cut = len(known), True
            break
        written.append(_token(kind, match, outline))
    written.append(known[end:])
    text = _sendable("".join(written).strip())
    if cut:
        text += " …"
    if len(text) > MAX_TEXT_CHARS:
        text = text[: MAX_TEXT_CHARS - 1] + "…"
    tables = tuple(_sendable(t) for t in outline.tables[:_MAX_TABLES])
    return Statement(outline.operation, tables, _shortened(_sendable(" ".join(outline.parts))), text)


def _token(kind: str, match: re.Match[str], outline: Outline) -> str:
    """Tell the outline of a token, and give back what stands for it in the text."""
    raw = match[0]
    if kind == "word":
        return raw if outline.word(raw) else "?"
    if kind == "mark":
        outline.mark(raw)
        return raw
    if kind == "either":
        kind = "name" if outline.takes_name(match.string[match.end() : match.end() + 8]) else "string"
    if kind == "name":
        outline.name(raw.strip(raw[0] if raw[0] != "[" else "[]"))
        return raw
    if kind != "comment":
        outline.value()
    return _GONE.get(kind, raw)


def _shortened(summary: str) -> str:
    """Cut between words, as the conventions ask; a single long word is cut within."""
    if len(summary) <= _MAX_SUMMARY_CHARS:
        return summary
    head = summary[: _MAX_SUMMARY_CHARS + 1].rpartition(" ")[0]
    return head or summary[:_MAX_SUMMARY_CHARS]


def _sendable(text: str) -> str:
    # A lone surrogate would make exporters drop the whole batch.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
