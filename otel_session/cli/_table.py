"""Rows of cells as lines of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from otel_session.cli._terminal import Piece, Screen
from otel_session.cli._text import columns, escape

_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, its cells, and whether they stand on the right as numbers do."""

    heading: str
    cells: Sequence[Piece]
    right: bool = False

    @property
    def width(self) -> int:
        """Terminal columns of its widest cell."""
        return max(columns(escape(piece.text)) for piece in [Piece(self.heading), *self.cells])


def width_of(table: Sequence[Column]) -> int:
    """Terminal columns of the whole table."""
    return sum(column.width for column in table) + len(_GAP) * (len(table) - 1)


def draw(table: Sequence[Column], screen: Screen) -> Iterator[str]:
    """Yield the heading and the rows."""
    widths = [column.width for column in table]
    headings = [Piece(column.heading, "dim") for column in table]
    for row in [headings, *([*cells] for cells in zip(*(column.cells for column in table), strict=True))]:
        pieces = []
        for column, width, cell in zip(table, widths, row, strict=True):
            blank = " " * (width - columns(escape(cell.text)))
            padded = blank + cell.text if column.right else cell.text + blank
            pieces += [Piece(padded, cell.style, cell.flex), Piece(_GAP)]
        yield screen.line(*pieces[:-1])
