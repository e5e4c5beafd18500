"""A session's timeline: its requests in time order, and under each what happened in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from otel_session import attributes as names
from otel_session.cli import _facts as facts
from otel_session.cli._build import Build, build_of
from otel_session.cli._fold import BuildChange, Detail, Entry, Fold, LeftOut, condense, entries_under
from otel_session.cli._lines import Pen
from otel_session.cli._margin import Place
from otel_session.cli._spent import spent
from otel_session.cli._tree import Forest, Node
from otel_session.store.views import EventView, LogView, text


def timeline(forest: Forest, changes: Sequence[BuildChange], pen: Pen) -> Iterator[str]:
    """Yield the lines of a session's requests, log records between them, and build changes."""
    starts = [log for log in forest.loose_logs if log.event_name == names.EVENT_SESSION_START]
    others = [log for log in forest.loose_logs if log.event_name != names.EVENT_SESSION_START]
    pen.with_sql = _with_sql(forest, pen.detail)
    for entry in condense([*starts, *changes, *forest.roots, *others], pen.detail):
        yield from _entry(entry, Place(), pen, last=True)


def build_changes(forest: Forest) -> list[BuildChange]:
    """Where a service's build differs from that of its request before, one entry before the root it shows in."""
    changes = []
    latest: dict[str, Build] = {}
    seen: set[Build] = set()
    for root in forest.roots:
        for node in root.descendants():
            new = build_of(node.span.resource)
            old = latest.setdefault(new.service, new)
            if new != old:
                changes.append(BuildChange(root.span.start_ns, old, new, back=new in seen))
                latest[new.service] = new
            seen.add(new)
    return changes


def _with_sql(forest: Forest, detail: Detail) -> frozenset[int]:
    """The statements whose text is worth a line (ids of their nodes): failed ones, and each root's slowest slow one."""
    chosen: list[Node] = []
    for root in forest.roots:
        statements = [node for node in root.descendants() if facts.is_statement(node.span)]
        chosen += [node for node in statements if node.span.is_error]
        slow = [node for node in statements if detail.is_slow(node)]
        chosen += sorted(slow, key=lambda node: -node.span.duration_ns)[:1]
    return frozenset(map(id, chosen))


def _entry(entry: Entry, place: Place, pen: Pen, *, last: bool) -> Iterator[str]:
    top = place.root is None
    here = _at(place, "" if top else "└─ " if last else "├─ ")
    below = _at(place, "" if top else "   " if last else "│  ")
    if isinstance(entry, Node):
        yield from _span(entry, here, below, pen)
    elif isinstance(entry, LogView):
        yield from pen.log(entry, here, below)
        if pen.detail.full:
            yield from pen.block(_rest_of(entry), below)
    elif isinstance(entry, EventView):
        yield pen.event(entry, here)
        if pen.detail.full:
            yield from pen.block(text(entry.attributes, names.EXCEPTION_STACKTRACE), below)
    elif isinstance(entry, Fold):
        yield pen.fold(entry, here)
        if not pen.with_sql.isdisjoint(map(id, entry.nodes)):
            yield from pen.sql(entry.nodes[0].span, below)
    elif isinstance(entry, LeftOut):
        yield pen.left_out(entry, here)
    else:
        yield pen.build_change(entry)


def _span(node: Node, here: Place, below: Place, pen: Pen) -> Iterator[str]:
    span = node.span
    yield pen.span(node, here)
    under = entries_under(node, pen.detail)
    inside = Place(here.root or span, span, below.tree)
    remarks = _at(inside, "│  " if under else "   ")
    if span.is_error and span.is_request and (why := facts.cause(node)):
        yield from pen.remark(why, "red", remarks)
    if pen.detail.is_slow(node) and node.children:
        yield from pen.remark(spent(node).in_words(), "yellow", remarks)
    if pen.detail.full:
        yield from pen.block(facts.query_text(span), remarks)
    elif id(node) in pen.with_sql:
        yield from pen.sql(span, remarks)
    for index, entry in enumerate(under):
        yield from _entry(entry, inside, pen, last=index == len(under) - 1)


def _at(place: Place, more: str) -> Place:
    return Place(place.root, place.parent, place.tree + more) if more else place


def _rest_of(log: LogView) -> str:
    lines = log.message.strip().splitlines()[1:]
    return "\n".join([*lines, text(log.attributes, names.EXCEPTION_STACKTRACE)])
