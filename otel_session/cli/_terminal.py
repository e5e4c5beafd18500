"""What is known about the place the output goes to: how wide it is, whether it shows colours, what it can encode."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TextIO

from otel_session import config
from otel_session.cli._text import clip, columns, escape

_STYLES = {"bold": "1", "dim": "2", "red": "31", "yellow": "33", "cyan": "36", "error": "1;31", "slow": "1;33"}
_MIN_WIDTH = 40
_MIN_FLEX = 12
_UNLIMITED = 100_000
_MAX_CHARS = 4_000
"""Of one piece of text, also in a file: a log message may be megabytes."""
_ASCII = str.maketrans(
    {"├": "|", "└": "`", "│": "|", "─": "-", "→": "->", "×": "x", "–": "-", "—": "-", "…": "...", "✗": "X", "·": ","}
    | {"█": "#", "µ": "u", "▏": "|", "▕": "|"}
)
"""What stands in where the terminal's encoding lacks our signs."""


class Piece(NamedTuple):
    """A part of a line. When the line is too long `drop` parts go, then `flex` ones are shortened, from the right."""

    text: str
    style: str = ""
    flex: bool = False
    drop: bool = False


@dataclass(frozen=True, slots=True)
class Screen:
    """Where lines go.

    Attributes:
        width: Columns of a line; None for a pipe or a file, where nothing is cut.
        color: Whether styles become ANSI sequences.
    """

    width: int | None = None
    color: bool = False

    def has(self, wanted: int) -> bool:
        """Whether a line has at least this many columns."""
        return self.width is None or self.width >= wanted

    def line(self, *pieces: Piece) -> str:
        """One line: every piece escaped, cut to the width, styled, without trailing blanks."""
        safe = [piece._replace(text=escape(_bounded(piece.text))) for piece in pieces]
        if self.width is not None:
            safe = _fitted(safe, self.width)
        if not self.color:
            return "".join(piece.text for piece in safe).rstrip()
        return "".join(_styled(piece.text, piece.style) for piece in safe).rstrip()


def _fitted(pieces: list[Piece], room: int) -> list[Piece]:
    over = sum(columns(piece.text) for piece in pieces) - room
    if over <= 0:
        return pieces
    for index in range(len(pieces) - 1, -1, -1):
        if pieces[index].drop and over > 0:
            over -= columns(pieces[index].text)
            pieces[index] = Piece("")
    for index in range(len(pieces) - 1, -1, -1):
        piece = pieces[index]
        width = columns(piece.text)
        if piece.flex and over > 0:
            pieces[index] = piece._replace(text=clip(piece.text, max(min(width, _MIN_FLEX), width - over)))
            over -= width - columns(pieces[index].text)
    fitted = []
    for piece in pieces:
        fitted.append(piece._replace(text=clip(piece.text, room)))
        room -= columns(fitted[-1].text)
    return fitted


def _bounded(text: str) -> str:
    return text if len(text) <= _MAX_CHARS else text[:_MAX_CHARS] + "…"


def _styled(text: str, style: str) -> str:
    code = _STYLES.get(style)
    return f"\x1b[{code}m{text}\x1b[0m" if code and text.strip() else text


def open_screen(*, width: int | None = None, color: bool = True, stream: TextIO | None = None) -> Screen:
    """The screen behind standard output.

    Colours need a terminal, no `NO_COLOR` and a `TERM` other than `dumb`. The width is the one given, else `COLUMNS`,
    else the terminal's; a pipe or file has none.
    """
    stream = stream or sys.stdout
    environ = config.environment()
    color = color and stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    if width is None:
        found = shutil.get_terminal_size(fallback=(_UNLIMITED, 0)).columns
        width = None if found >= _UNLIMITED else found
    return Screen(None if width is None else max(_MIN_WIDTH, width), color)


def write(lines: Iterable[str], stream: TextIO | None = None) -> None:
    """Print each line as it comes. A reader that has gone (`| head`) ends it quietly; missing signs are replaced."""
    stream = stream or sys.stdout
    encoding = stream.encoding or "utf-8"
    try:
        for line in lines:
            stream.write(_encodable(line, encoding) + "\n")
        stream.flush()
    except BrokenPipeError:
        # The interpreter flushes standard output once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _encodable(line: str, encoding: str) -> str:
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        return line.translate(_ASCII).encode(encoding, "backslashreplace").decode(encoding)
    return line
