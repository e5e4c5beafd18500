"""What of a long list is worth a line: repeated statements become one, dull entries give way to a count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from otel_session import attributes as names
from otel_session.cli import _operations as operations
from otel_session.cli._build import Build
from otel_session.cli._facts import exceptions_of, is_called, is_for_database, is_statement, label, query_text
from otel_session.cli._tree import Node
from otel_session.store.views import EventView, LogView, text

_FOLD_FROM = 3
_SUSPECT_FROM = 5
_WARN = 13
_PART = 3
"""What a request waits for is slow at this part of what is slow for a request."""


@dataclass(frozen=True, slots=True)
class Detail:
    """How much is shown.

    Attributes:
        full: Whether every entry, whole messages and stack traces are shown.
        slow_ns: A request that takes this long is slow; a statement or a call is at a third of it.
        limit: Entries shown at the top level and under any one span.
        asked_for: Correlation id of the request that is asked for, or `""`.
    """

    full: bool = False
    slow_ns: int = 300_000_000
    limit: int = 100
    asked_for: str = ""

    def is_slow(self, entry: Node | Fold) -> bool:
        """Whether a span, or repeated statements together, took long for what they are."""
        if isinstance(entry, Fold):
            return entry.total_ns * _PART >= self.slow_ns
        part = _PART if is_statement(entry.span) or entry.span.kind == "CLIENT" else 1
        return entry.span.duration_ns * part >= self.slow_ns


@dataclass(frozen=True, slots=True)
class Fold:
    """Statements of one text, or connections, that came again and again in a run, with nothing else between them."""

    nodes: tuple[Node, ...]

    @property
    def total_ns(self) -> int:
        """Their time, added up."""
        return sum(node.span.duration_ns for node in self.nodes)

    @property
    def slowest_ns(self) -> int:
        """The longest of them."""
        return max(node.span.duration_ns for node in self.nodes)

    @property
    def suspect(self) -> bool:
        """Whether it looks like one query per row of another query's result."""
        return len(self.nodes) >= _SUSPECT_FROM and label(self.nodes[0].span).upper().startswith("SELECT")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Entries in a row that are not shown."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class BuildChange:
    """From here on a service ran another build; `back` if the session had seen that one before (a rolling deploy)."""

    time_ns: int
    old: Build
    new: Build
    back: bool = False


Entry: TypeAlias = "Node | LogView | EventView | Fold | LeftOut | BuildChange"


def starts_at(entry: Node | LogView | EventView | BuildChange) -> int:
    """When an entry began, in nanoseconds since the epoch."""
    return entry.span.start_ns if isinstance(entry, Node) else entry.time_ns


def entries_under(node: Node, detail: Detail) -> list[Entry]:
    """What is shown under a span: its spans, log records and events in time order.

    An operation's own lines say what its span says; they are shown in full only.
    """
    events = [event for event in node.span.events if event.name != names.EVENT_EXCEPTION]
    logs = node.logs if detail.full else [log for log in node.logs if not operations.repeats(log, node.span)]
    return condense([*node.children, *logs, *events, *exceptions_of(node)], detail)


def condense(items: Sequence[Node | LogView | EventView | BuildChange], detail: Detail) -> list[Entry]:
    """Sort entries by time, fold repeated statements, and leave out what is beyond the limit; `full` only sorts.

    Entries of one time keep their order.
    """
    in_order = sorted(items, key=starts_at)
    ordered: list[Entry] = [*in_order]
    return ordered if detail.full else _thinned(_folded(ordered), detail)


def _folded(entries: list[Entry]) -> list[Entry]:
    folded: list[Entry] = []
    run: list[Node] = []
    for entry in entries:
        if isinstance(entry, Node) and _is_plain_statement(entry):
            run.append(entry)
            continue
        folded += _fold_run(run)
        run = []
        folded.append(entry)
    return folded + _fold_run(run)


def _is_plain_statement(node: Node) -> bool:
    span = node.span
    plain = is_statement(span) or (span.name == names.SPAN_CONNECT and is_for_database(span))
    return plain and not (span.is_error or node.children or node.logs or span.events)


def _fold_run(run: list[Node]) -> list[Entry]:
    # Grouped, not only neighbours: two lazy loads per row alternate, and the identity map breaks their rhythm.
    groups: dict[tuple[str, ...], list[Node]] = {}
    for node in run:
        span = node.span
        key = (span.parent_span_id, label(span), query_text(span), text(span.attributes, names.DB_NAMESPACE))
        groups.setdefault(key, []).append(node)
    folded: list[tuple[int, Entry]] = []
    for group in groups.values():
        if len(group) >= _FOLD_FROM:
            folded.append((group[0].span.start_ns, Fold(tuple(group))))
        else:
            folded += [(node.span.start_ns, node) for node in group]
    return [entry for _, entry in sorted(folded, key=lambda pair: pair[0])]


def _thinned(entries: list[Entry], detail: Detail) -> list[Entry]:
    if len(entries) <= detail.limit:
        return entries
    ranked = sorted(range(len(entries)), key=lambda index: _weight(entries[index], detail), reverse=True)
    kept = set(ranked[: detail.limit])
    thinned: list[Entry] = []
    gap: list[Entry] = []
    for index, entry in enumerate(entries):
        if index not in kept:
            gap.append(entry)
            continue
        thinned += [*_closed(gap), entry]
        gap = []
    return thinned + _closed(gap)


def _closed(gap: list[Entry]) -> list[Entry]:
    # The line that says "1 left out" is no shorter than the one left out.
    return [LeftOut(tuple(gap))] if len(gap) > 1 else [*gap]


def _weight(entry: Entry, detail: Detail) -> tuple[int, int]:
    if isinstance(entry, Node):
        if any(is_called(node.span, detail.asked_for) for node in entry.descendants()):
            return (4, 0)
        failed = any(node.span.is_error or any(log.is_error for log in node.logs) for node in entry.descendants())
        return (3 if failed else 2 if detail.is_slow(entry) else 0, entry.span.duration_ns)
    if isinstance(entry, LogView):
        return (3 if entry.is_error else 1 if entry.severity >= _WARN else 0, 0)
    if isinstance(entry, Fold):
        return (2 if detail.is_slow(entry) else 1, entry.total_ns)
    if isinstance(entry, BuildChange):
        return (0 if entry.back else 3, 0)
    return (3 if isinstance(entry, EventView) and entry.name == names.EVENT_EXCEPTION else 0, 0)
