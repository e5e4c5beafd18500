"""What stands above a session's timeline: who, when, which build, how much, and where to look first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from otel_session.cli import _facts as facts
from otel_session.cli._build import builds_of, services_of
from otel_session.cli._fold import BuildChange, Detail
from otel_session.cli._margin import ERROR_MARK, SLOW_MARK
from otel_session.cli._session import length_ns
from otel_session.cli._spent import spent
from otel_session.cli._terminal import Piece, Screen
from otel_session.cli._text import columns, escape, plural, wrap_words
from otel_session.cli._tree import Forest, Node
from otel_session.cli._units import duration, local, offset
from otel_session.store.records import SessionSummary
from otel_session.store.views import LogView

_MAX_TROUBLES = 8


@dataclass(frozen=True, slots=True)
class _Trouble:
    """A failed or slow root, or an error log record: `at_ns` since the epoch, `took_ns` None for a log record."""

    at_ns: int
    took_ns: int | None
    what: str
    why: str
    failed: bool


def header(
    summary: SessionSummary,
    previous_id: str | None,
    users: Sequence[str],
    changes: Sequence[BuildChange],
    slow: int,
    lines: int,
    asked_for: str,
    screen: Screen,
) -> Iterator[str]:
    """Yield the session's facts, a name and a value to a line."""
    yield screen.line(Piece("Session  "), Piece(summary.session_id, "bold"))
    builds = builds_of(summary.resources)
    starts = {change.new: offset(change.time_ns - summary.first_ns) for change in changes if not change.back}
    rows = [
        ("previous", previous_id or ""),
        ("user", ", ".join(users)),
        ("when", _when(summary)),
        ("request", asked_for),
    ]
    if not summary.confirmed:
        rows.append(("once", "the client has not brought its session id back (a probe, a scraper, an API call)"))
    rows.append(("service", ", ".join(services_of(builds))))
    many = len(services_of(builds)) > 1
    for build in builds:
        who = f"{build.service}: " if many and build.service else ""
        since = f", from {starts[build]}" if build in starts else ""
        rows.append(("build", f"{who}{build.long}{since}"))
    for name, value in rows:
        if value:
            yield screen.line(_name(name), Piece(value, flex=True))
    yield screen.line(_name("requests"), *_requests(summary, slow))
    yield screen.line(_name("database"), Piece(plural(summary.statements, "statement")))
    errors = Piece(f", {plural(summary.error_logs, 'error')}" if summary.error_logs else "", "red")
    yield screen.line(_name("logs"), Piece(plural(lines, "line")), errors)


def _name(name: str) -> Piece:
    return Piece(f"  {name:<8}  ", "dim")


def _when(summary: SessionSummary) -> str:
    first, last = local(summary.first_ns), local(summary.last_ns)
    end = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    return f"{first:%Y-%m-%d %H:%M:%S} – {end} {last:%Z}, {duration(length_ns(summary))}"


def _requests(summary: SessionSummary, slow: int) -> list[Piece]:
    pieces = [Piece(f"{summary.requests:,}")]
    if summary.failed_requests:
        pieces += [Piece(", "), Piece(f"{ERROR_MARK} {summary.failed_requests:,} failed", "error")]
    if slow:
        pieces += [Piece(", "), Piece(f"{SLOW_MARK} {slow:,} slow", "slow")]
    return pieces


def count_slow(forest: Forest, detail: Detail) -> int:
    """How many requests were slow."""
    return sum(node.span.is_request and detail.is_slow(node) for node in forest.nodes())


def asked_for(forest: Forest, first_ns: int, detail: Detail) -> str:
    """The request with the correlation id that was typed, in words; `""` when none was."""
    found = next((node.span for node in forest.nodes() if facts.is_called(node.span, detail.asked_for)), None)
    if found is None:
        return ""
    code = facts.status_code(found)
    what = facts.label(found) + (f" → {code}" if code is not None else "")
    return f"{detail.asked_for}  {what}, at {offset(found.start_ns - first_ns)}, {duration(found.duration_ns)}"


def look_first(forest: Forest, first_ns: int, detail: Detail, screen: Screen) -> Iterator[str]:
    """Yield the errors in time order, then the slow requests, slowest first; nothing when there are none."""
    troubles = [trouble for root in forest.roots if (trouble := _trouble(root, detail))]
    troubles += [_log_trouble(log) for log in forest.loose_logs if log.is_error]
    troubles.sort(key=lambda t: (not t.failed, t.at_ns if t.failed else -(t.took_ns or 0)))
    if not troubles:
        return
    yield screen.line(Piece("Look here first", "bold"))
    for trouble in troubles[:_MAX_TROUBLES]:
        yield from _trouble_lines(trouble, offset(trouble.at_ns - first_ns), screen)
    if len(troubles) > _MAX_TROUBLES:
        yield screen.line(Piece(f"  and {len(troubles) - _MAX_TROUBLES:,} more below", "dim"))


def _trouble_lines(trouble: _Trouble, at: str, screen: Screen) -> Iterator[str]:
    style = "error" if trouble.failed else "slow"
    took = duration(trouble.took_ns) if trouble.took_ns is not None else ""
    margin = f"{ERROR_MARK if trouble.failed else SLOW_MARK} {at:>10}  {took:>10}  "
    what, why = Piece(trouble.what, "bold", flex=True), "red" if trouble.failed else "yellow"
    if screen.has(len(margin) + columns(escape(f"{trouble.what}  {trouble.why}"))):
        yield screen.line(Piece(margin, style), what, Piece(f"  {trouble.why}", why))
        return
    yield screen.line(Piece(margin, style), what)
    room = None if screen.width is None else screen.width - len(margin) - 2
    for line in wrap_words(trouble.why, room, max_lines=2):
        yield screen.line(Piece(" " * (len(margin) + 2)), Piece(line, why))


def _trouble(root: Node, detail: Detail) -> _Trouble | None:
    span, code = root.span, facts.status_code(root.span)
    what = facts.label(span) + (f" → {code}" if code is not None else "")
    failed = span.is_error or any(n.span.is_request and n.span.is_error for n in root.descendants())
    if failed:
        return _Trouble(span.start_ns, span.duration_ns, what, facts.cause(root), failed=True)
    error = next((log for node in root.descendants() for log in node.logs if log.is_error), None)
    if error is not None:
        said = _log_trouble(error)
        why = f"{said.what}  {said.why}".rstrip()
        return _Trouble(span.start_ns, span.duration_ns, what, why, failed=True)
    if detail.is_slow(root):
        return _Trouble(span.start_ns, span.duration_ns, what, spent(root).in_words(), failed=False)
    return None


def _log_trouble(log: LogView) -> _Trouble:
    exception = facts.exception_at(log.attributes)
    what = " ".join(part for part in (log.level, facts.said(log)) if part)
    return _Trouble(log.time_ns, None, what, exception, failed=True)
