"""What stands left of each line of a timeline, so that the eye can run down one column.

A mark (✗ error, ! slow), on wide screens the clock, the time since the session began (under a request: since the
request began), how long it took, on very wide screens a bar that shows where in its request that was, and the tree.
"""

from __future__ import annotations

from dataclasses import dataclass

from otel_session.cli._terminal import Piece, Screen
from otel_session.cli._units import duration, local, offset
from otel_session.store.views import SpanView

ERROR_MARK, SLOW_MARK = "✗", "!"
_MARK_STYLES = {ERROR_MARK: "error", SLOW_MARK: "slow"}
_CLOCK_COLUMNS, _AT_COLUMNS, _TOOK_COLUMNS, _BAR_COLUMNS = 12, 10, 10, 20
_CLOCK_FROM, _BAR_FROM = 120, 160


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands: under which root and span (None at the top level), and the tree drawn left of it."""

    root: SpanView | None = None
    parent: SpanView | None = None
    tree: str = ""


@dataclass(frozen=True, slots=True)
class Margin:
    """The left side of a screen, for a session that began at `first_ns`."""

    screen: Screen
    first_ns: int

    @property
    def has_bars(self) -> bool:
        """Whether there is room for bars, and for SQL at the other side; a pipe gets neither."""
        return self.screen.width is not None and self.screen.width >= _BAR_FROM

    def heading(self) -> str:
        """What the columns are."""
        clock = f"{'clock':<{_CLOCK_COLUMNS}}  " if self.screen.has(_CLOCK_FROM) else ""
        bar = "in its request" if self.has_bars else ""
        return self.screen.line(Piece(f"  {clock}{'at':>{_AT_COLUMNS}}  {'took':>{_TOOK_COLUMNS}}  {bar}", "dim"))

    def pieces(self, mark: str, place: Place, at_ns: int | None, end_ns: int | None, took: str) -> list[Piece]:
        """The left side of a line; None and `""` leave their columns blank."""
        root = place.root
        at = clock = ""
        if at_ns is not None:
            at = offset(at_ns - self.first_ns) if root is None else duration(at_ns - root.start_ns)
            clock = f"{local(at_ns):%H:%M:%S.%f}"[:_CLOCK_COLUMNS] if root is None else ""
        style = _MARK_STYLES.get(mark, "")
        return [
            Piece(f"{mark:<2}", style),
            Piece(f"{clock:<{_CLOCK_COLUMNS}}  " if self.screen.has(_CLOCK_FROM) else "", "dim"),
            Piece(f"{at:>{_AT_COLUMNS}}  ", "dim" if root else ""),
            Piece(f"{took:>{_TOOK_COLUMNS}}  ", style),
            Piece(f"{_bar(at_ns, end_ns, root):<{_BAR_COLUMNS}}  " if self.has_bars else "", style or "dim"),
            Piece(self._shortened(place.tree), "dim"),
        ]

    def room(self, place: Place) -> int | None:
        """Columns right of the margin, at least 20; None when nothing is cut."""
        if self.screen.width is None:
            return None
        taken = sum(len(piece.text) for piece in self.pieces("", place, None, None, ""))
        return max(20, self.screen.width - taken)

    def _shortened(self, tree: str) -> str:
        # A tree deeper than a third of the screen would leave no room for words.
        if self.screen.width is None or len(tree) <= self.screen.width // 3:
            return tree
        return f"{len(tree) // 3:>3} levels deep {tree[-3:]}"


def _bar(at_ns: int | None, end_ns: int | None, root: SpanView | None) -> str:
    if at_ns is None:
        return ""
    if root is None:
        return "" if end_ns is None else "─" * _BAR_COLUMNS
    start, end = (_cell(ns - root.start_ns, root.duration_ns) for ns in (at_ns, max(at_ns, end_ns or 0)))
    return " " * start + ("·" if end_ns is None else "█" * (end - start + 1))


def _cell(ns: int, whole_ns: int) -> int:
    return min(_BAR_COLUMNS - 1, max(0, ns * _BAR_COLUMNS // max(1, whole_ns)))
