"""A session's spans and log records as a forest in time order, whatever is missing, late or wrong in them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from otel_session.store.views import LogView, SpanView

MAX_DEPTH = 50
"""Deeper spans are listed beside their parent: terminals, JSON readers and recursion have limits."""


@dataclass(slots=True, eq=False)
class Node:
    """A span with what belongs under it, each list in time order.

    `orphan` says why a span with a parent is a root: `missing` (the parent is not in the store: lost, pruned, or not
    finished yet), `elsewhere` (the parent ran in another process and is not stored here), `loop` (it is its own
    ancestor); `""` for all others.
    """

    span: SpanView
    depth: int = 0
    orphan: str = ""
    children: list[Node] = field(default_factory=list)
    logs: list[LogView] = field(default_factory=list)

    def descendants(self) -> Iterator[Node]:
        """Yield this node and everything under it, parents first."""
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo.extend(reversed(node.children))


@dataclass(slots=True)
class Forest:
    """Root spans and the log records that belong to none of the spans, each in time order."""

    roots: list[Node]
    loose_logs: list[LogView]

    def nodes(self) -> Iterator[Node]:
        """Yield every node."""
        for root in self.roots:
            yield from root.descendants()


def grow(spans: Iterable[SpanView], logs: Iterable[LogView]) -> Forest:
    """Put spans under their parents and log records under their spans; linear in their number.

    A log record whose span is not stored goes to the first root of its trace, if there is one.
    """
    nodes = [Node(span) for span in sorted(spans, key=lambda span: (span.start_ns, -span.end_ns))]
    by_id: dict[tuple[str, str], Node] = {}
    for node in nodes:
        by_id.setdefault((node.span.trace_id, node.span.span_id), node)
    roots = _plant(nodes, by_id)
    by_trace: dict[str, Node] = {}
    for root in roots:
        by_trace.setdefault(root.span.trace_id, root)
    loose: list[LogView] = []
    for log in sorted(logs, key=lambda log: log.time_ns):
        owner = by_id.get((log.trace_id, log.span_id)) or by_trace.get(log.trace_id)
        (owner.logs if owner is not None else loose).append(log)
    return Forest(roots, loose)


def _plant(nodes: list[Node], by_id: dict[tuple[str, str], Node]) -> list[Node]:
    children: dict[int, list[Node]] = {}
    roots = []
    for node in nodes:
        parent = by_id.get((node.span.trace_id, node.span.parent_span_id)) if node.span.parent_span_id else None
        if parent is None:
            node.orphan = _why_alone(node.span)
            roots.append(node)
        else:
            children.setdefault(id(parent), []).append(node)
    reached: set[int] = set()
    for root in roots:
        _hang(root, children, reached)
    for node in nodes:
        if id(node) not in reached:
            node.orphan = "loop"
            roots.append(node)
            _hang(node, children, reached)
    for node in nodes:
        node.children.sort(key=lambda child: child.span.start_ns)
    return sorted(roots, key=lambda root: root.span.start_ns)


def _hang(root: Node, children: dict[int, list[Node]], reached: set[int]) -> None:
    reached.add(id(root))
    todo = deque([(root, root)])  # a node, and where its children go
    while todo:
        node, above = todo.popleft()
        for child in children.get(id(node), ()):
            if id(child) in reached:
                continue
            reached.add(id(child))
            child.depth = above.depth + 1
            above.children.append(child)
            todo.append((child, child if child.depth < MAX_DEPTH else above))


def _why_alone(span: SpanView) -> str:
    if not span.parent_span_id:
        return ""
    remote = span.remote_parent if span.remote_parent is not None else span.kind in ("SERVER", "CONSUMER")
    return "elsewhere" if remote else "missing"
