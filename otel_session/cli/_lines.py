"""One line for each kind of entry in a session's timeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from otel_session import attributes as names
from otel_session.cli import _facts as facts
from otel_session.cli import _operations as operations
from otel_session.cli import _reruns as reruns
from otel_session.cli._fold import BuildChange, Detail, Fold, LeftOut
from otel_session.cli._margin import ERROR_MARK, SLOW_MARK, Margin, Place
from otel_session.cli._spent import covered
from otel_session.cli._terminal import Piece
from otel_session.cli._text import columns, escape, first_line, plural, wrap, wrap_words
from otel_session.cli._tree import Node
from otel_session.cli._units import duration
from otel_session.store.views import EventView, LogView, SpanView, text

_MAX_REMARK_LINES = 3
_LEVEL_STYLES = {"ERROR": "red", "FATAL": "error", "WARN": "yellow", "DEBUG": "dim", "TRACE": "dim"}
_ORPHANS = {"missing": "(parent not stored)", "elsewhere": "(called from elsewhere)", "loop": "(its own ancestor)"}


@dataclass(slots=True)
class Pen:
    """Writes lines.

    `hidden` becomes true when a line stands for more than it shows; `with_sql` are ids of the nodes whose statement's
    text is shown.
    """

    margin: Margin
    detail: Detail
    many_services: bool = False
    hidden: bool = False
    with_sql: frozenset[int] = frozenset()

    def span(self, node: Node, place: Place) -> str:
        """A request, statement or any other span."""
        span = node.span
        self.hidden |= any(operations.repeats(log, span) for log in node.logs)
        failed = span.is_error or (place.root is None and facts.has_failed(node))
        mark = ERROR_MARK if failed else SLOW_MARK if self.detail.is_slow(node) else ""
        plain = "bold" if place.root is None else ""
        return self._line(
            self.margin.pieces(mark, place, span.start_ns, span.end_ns, duration(span.duration_ns)),
            *self._service(span, place),
            Piece(facts.label(span), {ERROR_MARK: "error", SLOW_MARK: "slow"}.get(mark, plain), flex=True),
            *_outcome(span),
            Piece("  <- asked for" if facts.is_called(span, self.detail.asked_for) else "", "bold"),
            _note(_ORPHANS.get(node.orphan, "")),
            _note(_late(span.start_ns, place)),
            _note("(damaged record)" if span.damaged else ""),
            *self._asides(span),
        )

    def log(self, log: LogView, place: Place, below: Place) -> Iterator[str]:
        """Yield a log record or event: level, first line of the message, exception (`below` where room is short)."""
        style = _LEVEL_STYLES.get(log.level, "")
        level = "" if log.event_name and not style else f"{log.level[:5]:<5} "
        message, more = facts.said(log), first_line(log.message)[1]
        exception = facts.exception_text(log.attributes)
        exception = "" if exception in message else exception
        room = self.margin.room(place)
        inline = room is None or columns(escape(f"{level}{message}  {exception}")) <= room
        self.hidden |= bool(more or log.attributes.get(names.EXCEPTION_STACKTRACE))
        yield self._line(
            self.margin.pieces(ERROR_MARK if log.is_error else "", place, log.time_ns, None, ""),
            Piece(level, style or "dim"),
            Piece(message, style or ("cyan" if log.event_name else ""), flex=True),
            Piece(f"  {exception}" if exception and inline else "", "red", flex=True),
            Piece(f"  (+{plural(more, 'line')})" if more else "", "dim"),
            _note(_late(log.time_ns, place)),
            _note("(damaged record)" if log.damaged else ""),
            Piece(f"  {log.scope}" if log.scope and not log.event_name else "", "dim", drop=True),
        )
        if exception and not inline:
            yield from self.remark(exception, "red", below)

    def event(self, event: EventView, place: Place) -> str:
        """An event on a span; an exception is an error only where the span says so."""
        if event.name != names.EVENT_EXCEPTION:
            left = self.margin.pieces("", place, event.time_ns, None, "")
            return self._line(left, Piece(f"· {event.name}", "dim", flex=True))
        self.hidden |= bool(event.attributes.get(names.EXCEPTION_STACKTRACE))
        mark = ERROR_MARK if place.parent and place.parent.is_error else ""
        said = facts.exception_text(event.attributes) or event.name
        return self._line(
            self.margin.pieces(mark, place, event.time_ns, None, ""),
            Piece(said, "red" if mark else "yellow", flex=True),
        )

    def fold(self, fold: Fold, place: Place) -> str:
        """Statements that came again and again."""
        self.hidden = True
        first, last, total = fold.nodes[0].span, fold.nodes[-1].span, duration(fold.total_ns)
        mark = SLOW_MARK if self.detail.is_slow(fold) else ""
        return self._line(
            self.margin.pieces(mark, place, first.start_ns, last.end_ns, total),
            Piece(f"×{len(fold.nodes)} ", "slow" if mark else "bold"),
            Piece(facts.label(first), "slow" if mark else "", flex=True),
            Piece(f"  {total} total", "dim"),
            Piece(" (N+1?)" if fold.suspect else "", "slow"),
            Piece(f"  slowest {duration(fold.slowest_ns)}", "dim", drop=True),
            *self._asides(first),
        )

    def left_out(self, gap: LeftOut, place: Place) -> str:
        """Entries that are not shown: how many, how long, how many of them errors."""
        self.hidden = True
        spans = [e.span for e in gap.entries if isinstance(e, Node)]
        spans += [node.span for e in gap.entries if isinstance(e, Fold) for node in e.nodes]
        logs = [e for e in gap.entries if isinstance(e, LogView)]
        requests, errors = sum(s.is_request for s in spans), sum(s.is_error for s in spans)
        errors += sum(log.is_error for log in logs)
        counts = (
            (requests, "request"),
            (len(spans) - requests, "span"),
            (len(logs), "log line"),
            (sum(isinstance(e, EventView) for e in gap.entries), "event"),
            (sum(isinstance(e, BuildChange) for e in gap.entries), "build change"),
            (errors, "error"),
        )
        what = ", ".join(plural(count, one) for count, one in counts if count)
        intervals = [(span.start_ns, span.end_ns) for span in spans]
        took = duration(covered(intervals, (min(intervals)[0], max(s.end_ns for s in spans)))) if spans else ""
        left = self.margin.pieces(ERROR_MARK if errors else "", place, None, None, took)
        return self._line(left, Piece(f"… {what} not shown", "dim", flex=True))

    def build_change(self, change: BuildChange) -> str:
        """Another build from here on."""
        who = f"{change.new.service}: " if change.new.service else ""
        left = self.margin.pieces("", Place(), change.time_ns, None, "")
        return self._line(left, Piece(f"── {who}build {change.old.long} → {change.new.long}", "slow", flex=True))

    def remark(self, said: str, style: str, place: Place) -> Iterator[str]:
        """Yield a remark under a span: why it failed, where its time went."""
        for line in wrap_words(said, self.margin.room(place), max_lines=_MAX_REMARK_LINES):
            yield self._line(self.margin.pieces("", place, None, None, ""), Piece(line, style))

    def sql(self, span: SpanView, place: Place) -> Iterator[str]:
        """Yield a statement's text on one line, unless it stands beside the statement."""
        if (query := facts.query_text(span)) and not self.margin.has_bars:
            yield self._line(self.margin.pieces("", place, None, None, ""), Piece(query, "dim", flex=True))

    def block(self, whole: str, place: Place) -> Iterator[str]:
        """Yield a text of many lines, wrapped, under the entry it belongs to."""
        for line in wrap(whole, self.margin.room(place)):
            yield self._line(self.margin.pieces("", place, None, None, ""), Piece(line, "dim"))

    def _line(self, left: list[Piece], *pieces: Piece) -> str:
        return self.margin.screen.line(*left, *pieces)

    def _service(self, span: SpanView, place: Place) -> list[Piece]:
        service = text(span.resource, names.SERVICE_NAME)
        same = place.parent is not None and text(place.parent.resource, names.SERVICE_NAME) == service
        return [Piece(f"[{service}] ", "cyan")] if self.many_services and service and not same else []

    def _asides(self, span: SpanView) -> list[Piece]:
        correlation = text(span.attributes, names.CORRELATION_ID) if span.is_request else ""
        path = facts.path(span) if span.is_request else ""
        function = text(span.attributes, names.CODE_FUNCTION_NAME) if span.is_request else ""
        query = facts.query_text(span) if self.margin.has_bars and not self.detail.full else ""
        return [
            Piece(f"  {correlation}" if correlation else "", "dim"),
            Piece(f"  {path}" if path and path != facts.route(span) else "", "dim", drop=True),
            Piece(f"  {about}" if (about := reruns.about(span)) else "", "dim", drop=True),
            Piece(f"  {function}" if function else "", "dim", drop=True),
            Piece(f"  {query}" if query else "", "dim", flex=True),
            Piece(f"  {told}" if (told := operations.metadata(span)) else "", "dim", flex=True),
        ]


def _note(said: str) -> Piece:
    return Piece(f"  {said}" if said else "", "yellow")


def _late(at_ns: int, place: Place) -> str:
    return "(after the end)" if place.parent is not None and at_ns > place.parent.end_ns else ""


_OUTCOME_STYLES = {"rollback": "yellow", "leaked": "error", "close": "dim"}


def _outcome(span: SpanView) -> list[Piece]:
    code, batch = facts.status_code(span), text(span.attributes, names.DB_OPERATION_BATCH_SIZE)
    pieces = [Piece(f" (batch of {batch})" if batch else "", "dim")]
    if code is not None:
        pieces.append(Piece(f" → {code}", "error" if code >= 500 else "yellow" if code >= 400 else ""))
    if outcome := facts.unit_outcome(span):
        pieces.append(Piece(f" → {outcome}", _OUTCOME_STYLES.get(outcome, "")))
        pieces.append(Piece(f"  {facts.unit_changes(span)}".rstrip(), "dim"))
    if ended := reruns.outcome(span):
        pieces.append(Piece(f" → {ended}", "yellow"))
    if text(span.attributes, names.OPERATION_OUTCOME) == names.OPERATION_CANCELLED:
        pieces.append(Piece(f" → {names.OPERATION_CANCELLED}", "yellow"))
    if span.is_error and not span.is_request:
        pieces.append(Piece(f"  {facts.own_error(span) or 'failed'}", "red", flex=True))
    return pieces
