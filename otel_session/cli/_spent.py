"""Where a request's time went: database, session store, calls to others, own code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from otel_session import attributes as names
from otel_session.cli._facts import is_for_database, is_statement, label
from otel_session.cli._text import plural
from otel_session.cli._tree import Node
from otel_session.cli._units import duration

_NBSP = "\u00a0"
"""Keeps a number and its unit on one line; the terminal gets a plain space."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Where a request's time went, in nanoseconds; the four times add up to its duration.

    Overlapping spans count once. `busiest` is the statement that took longest in all: label, how often, its time.
    """

    database_ns: int
    store_ns: int
    calls_ns: int
    own_ns: int
    statements: int
    busiest: tuple[str, int, int] | None

    def in_words(self) -> str:
        """`1.02 s database (82 %: ×39 SELECT position 900 ms), 220 ms own code`, longest first."""
        whole = self.database_ns + self.store_ns + self.calls_ns + self.own_ns
        parts = [
            (self.database_ns, "database", self._busiest_in_words()),
            (self.store_ns, "session store", ""),
            (self.calls_ns, "calls to other services", ""),
            (self.own_ns, "own code", ""),
        ]
        parts = [part for part in parts if part[0] * 100 >= whole > 0]
        words = []
        for ns, what, detail in sorted(parts, key=lambda part: -part[0]):
            inside = f"{ns * 100 // whole}{_NBSP}%" + (f": {detail}" if detail else "")
            words.append(f"{_unbroken(f'{duration(ns)} {what}')} ({inside})")
        return ", ".join(words)

    def _busiest_in_words(self) -> str:
        if self.busiest is None:
            return ""
        what, count, ns = self.busiest
        if ns * 4 < self.database_ns:
            return plural(self.statements, "statement")
        if count == self.statements:
            return f"×{count} {what}" if count > 1 else what
        return f"×{count} {what} {_unbroken(duration(ns))}" if count > 1 else f"{what} {_unbroken(duration(ns))}"


def spent(node: Node) -> Spent:
    """Add up the time that a request spent in databases, in its server-side session store and in calls to others."""
    database: list[tuple[int, int]] = []
    store: list[tuple[int, int]] = []
    calls: list[tuple[int, int]] = []
    times: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    todo = list(node.children)
    while todo:
        child = todo.pop()
        span = child.span
        if is_statement(span):
            database.append((span.start_ns, span.end_ns))
            times[label(span)] += span.duration_ns
            counts[label(span)] += 1
        elif is_for_database(span):
            database.append((span.start_ns, span.end_ns))
        elif span.kind in ("CLIENT", "PRODUCER", "SERVER", "CONSUMER"):
            calls.append((span.start_ns, span.end_ns))
        else:
            if span.name in (names.SPAN_APP_SESSION_LOAD, names.SPAN_APP_SESSION_SAVE):
                store.append((span.start_ns, span.end_ns))
            todo.extend(child.children)
    window = (node.span.start_ns, node.span.end_ns)
    database_ns = covered(database, window)
    with_store_ns = covered(database + store, window)
    with_calls_ns = covered(database + store + calls, window)
    top = times.most_common(1)
    busiest = (top[0][0], counts[top[0][0]], top[0][1]) if top else None
    own_ns = node.span.duration_ns - with_calls_ns
    parts = (database_ns, with_store_ns - database_ns, with_calls_ns - with_store_ns, own_ns)
    return Spent(*parts, counts.total(), busiest)


def _unbroken(text: str) -> str:
    return text.replace(" ", _NBSP)


def covered(intervals: Iterable[tuple[int, int]], window: tuple[int, int]) -> int:
    """Nanoseconds of the window that at least one of the intervals covers; each is a start and an end."""
    covered, reached = 0, window[0]
    for start, end in sorted(intervals):
        start, end = max(start, reached), min(end, window[1])
        if end > start:
            covered += end - start
            reached = end
    return covered
