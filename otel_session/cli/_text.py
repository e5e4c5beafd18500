"""Text that is safe in a terminal and as wide as it says: log text and span names are untrusted."""

from __future__ import annotations

import re
import textwrap
import unicodedata

_COLOUR = re.compile(r"\x1b\[[\d;]*m", re.ASCII)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_MAX_CHARS_PER_COLUMN = 4
"""Combining marks take no column; a text of nothing else still has to end."""
_MAX_WRAPPED_CHARS = 65_536


def escape(text: str) -> str:
    r"""The text with everything a terminal might obey written out as `\n`, `\x1b`, `\u202e`.

    Covers control and format characters (bidirectional overrides, zero-width ones), line separators, surrogates and
    unassigned code points; other spaces become plain ones. Colours are taken out: development servers log them.
    """
    if text.isprintable():
        return text
    text = _COLOUR.sub("", text)
    return "".join(char if char.isprintable() else _written_out(char) for char in text)


def _written_out(char: str) -> str:
    if unicodedata.category(char) == "Zs":
        return " "
    return _SHORT.get(char) or char.encode("unicode_escape").decode("ascii")


def columns(text: str) -> int:
    """Terminal columns a printable text takes: two for a wide East Asian character or an emoji, none for a mark."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


def _columns_of(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def clip(text: str, width: int, ellipsis: str = "…") -> str:
    """The text, cut to at most `width` columns; a cut one ends in the ellipsis."""
    if len(text) <= width * _MAX_CHARS_PER_COLUMN and columns(text) <= width:
        return text
    room = width - len(ellipsis)
    if room < 0:
        return ellipsis[:width]
    used = 0
    for index, char in enumerate(text[: room * _MAX_CHARS_PER_COLUMN]):
        used += _columns_of(char)
        if used > room:
            return text[:index] + ellipsis
    return text[: room * _MAX_CHARS_PER_COLUMN] + ellipsis


def first_line(text: str) -> tuple[str, int]:
    """The first line that is not blank, and how many further lines there are."""
    lines = text.strip().splitlines() or [""]
    return lines[0].rstrip(), len(lines) - 1


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 request`, `2 requests`, `1,204 requests`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def wrap(text: str, width: int | None) -> list[str]:
    """The text's lines (of its first 64 KiB), escaped, each cut into pieces of at most `width` columns."""
    pieces = []
    for line in text[:_MAX_WRAPPED_CHARS].rstrip().splitlines():
        rest = escape(line.expandtabs(4)).rstrip()
        while width is not None and columns(rest) > width:
            head = clip(rest, width, "")
            pieces.append(head)
            rest = rest[len(head) :]
        pieces.append(rest)
    return pieces


def wrap_words(text: str, width: int | None, *, max_lines: int) -> list[str]:
    """The text as one paragraph, broken at plain spaces into at most `max_lines` lines; it still wants escaping."""
    if width is None:
        return [text]
    return textwrap.wrap(text[:_MAX_WRAPPED_CHARS], max(20, width), max_lines=max_lines, placeholder=" …")
