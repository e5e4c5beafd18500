"""`otel-session show SESSION`: what happened in one session, as a tree in time order."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from otel_session.cli._build import builds_of, services_of
from otel_session.cli._fold import Detail
from otel_session.cli._header import asked_for, count_slow, header, look_first
from otel_session.cli._json import session_as_json, write_json
from otel_session.cli._lines import Pen
from otel_session.cli._log_lines import LogCounts, count_rows, is_access_line
from otel_session.cli._margin import Margin
from otel_session.cli._render import build_changes, timeline
from otel_session.cli._session import previous_session, summarize, users
from otel_session.cli._source import UnknownSessionError, add_store_argument, find_session, opened_store
from otel_session.cli._terminal import Piece, Screen, open_screen, write
from otel_session.cli._text import plural
from otel_session.cli._tree import Forest, grow
from otel_session.cli._units import parse_count, parse_span
from otel_session.store.activity import LIFE_EVENTS
from otel_session.store.decode import decode_log, decode_span
from otel_session.store.records import LogRow, SessionSummary, SpanRow
from otel_session.store.views import LogView, SpanView

_LOOK_FIRST_FROM = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes to its parser."""
    parser.add_argument(
        "session",
        metavar="SESSION",
        help="a session's id, or how it begins, as in log lines; or the correlation id of one of its requests "
        "(req_…, what a client got as X-Correlation-ID or X-Request-ID), which is marked",
    )
    parser.add_argument("--full", action="store_true", help="every statement, whole messages, stack traces, SQL")
    slow = Detail().slow_ns
    parser.add_argument("--slow", type=parse_span, default=slow, metavar="TIME", help="what is slow (default: 300ms)")
    limit = Detail().limit
    parser.add_argument(
        "--limit",
        type=parse_count,
        default=limit,
        metavar="N",
        help=f"at most N requests, and N entries in each: errors and the slowest first (default: {limit})",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document, with everything in it")
    parser.add_argument(
        "--width", type=parse_count, metavar="N", help="columns to use, 40 or more (default: the terminal's)"
    )
    parser.add_argument("--no-color", action="store_true", help="plain text, also on a terminal")
    add_store_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print one session.

    With `--json`: `{"session": {...}, "requests": [...], "logs": [...]}`.

    * `session` has the keys of `sessions --json`, and `previous_session_id`.
    * `requests` are the root spans in time order, requests or not (`request` tells). Each span has `trace_id`,
      `span_id`, `parent_span_id`, `orphan` (null, or why a span with a parent is a root: `missing`, `elsewhere`,
      `loop`), `name`, `label`, `kind`, `request`, `statement`, `started_utc`, `start_unix_nano`, `duration_ms`,
      `status`, `status_message`, `error`, `cause`, `method`, `route`, `status_code`, `correlation_id`, `time_ms` (of a
      request: `database`, `session_store`, `calls`, `own_code`), `build`, `scope`, `damaged` (its record could not be
      decoded), `attributes`, `events`, `links`, its `logs` and its `children`. Spans nested deeper than 50 levels are
      listed beside their parent.
    * `logs` are the log records of no stored span: `time_utc`, `time_unix_nano`, `level`, `severity`, `error`,
      `logger`, `event`, `message`, `trace_id`, `span_id`, `damaged`, `attributes`.

    What is not known is null. Bytes are base64; NaN and infinities are their names.

    Returns:
        Exit code 0.

    Raises:
        UnknownSessionError: None or several are meant (the message lists candidates), or it was deleted meanwhile.
        StoreError: There is no store, or it cannot be read.
    """
    with opened_store(args) as reader:
        meant = find_session(reader, args.session)
        session_id = meant.session_id
        spans, logs = reader.spans(session_id), reader.logs(session_id)
    if not spans and not logs:
        raise UnknownSessionError(f"Session {session_id!r} was deleted just now, to keep the store within its limits.")
    story = _read(session_id, spans, logs, as_sent=args.json, access_lines=args.full or args.json)
    if args.json:
        write(
            [write_json(session_as_json(story.summary, story.log_counts, story.previous_id, story.users, story.forest))]
        )
        return 0
    detail = Detail(full=args.full, slow_ns=args.slow, limit=args.limit, asked_for=meant.correlation_id)
    write(_lines(story, detail, open_screen(width=args.width, color=not args.no_color)))
    return 0


@dataclass(frozen=True, slots=True)
class _Story:
    """A session, decoded."""

    summary: SessionSummary
    log_counts: LogCounts
    previous_id: str | None
    users: list[str]
    forest: Forest
    access_lines_hidden: int


_MORE = "--full shows every statement, whole messages, stack traces and SQL"


def _read(
    session_id: str, spans: Sequence[SpanRow], logs: Sequence[LogRow], *, as_sent: bool, access_lines: bool
) -> _Story:
    summary = summarize(session_id, spans, logs)
    span_views, log_views = [decode_span(row) for row in spans], [decode_log(row) for row in logs]
    everything: list[SpanView | LogView] = [*span_views, *log_views]
    told = [log for log in log_views if access_lines or not is_access_line(log)]
    hidden = len(log_views) - len(told)
    if not as_sent:
        told = [_within(log, summary) for log in told]
    return _Story(
        summary=summary,
        log_counts=count_rows(logs),
        previous_id=previous_session(everything),
        users=users(everything),
        forest=grow(span_views, told),
        access_lines_hidden=hidden,
    )


def _within(log: LogView, summary: SessionSummary) -> LogView:
    """An event of the session's life at a time when there was activity; other records as they are."""
    if log.event_name not in LIFE_EVENTS:
        return log
    return replace(log, time_ns=min(max(log.time_ns, summary.first_ns), summary.last_ns))


def _lines(story: _Story, detail: Detail, screen: Screen) -> Iterator[str]:
    summary, forest = story.summary, story.forest
    changes = build_changes(forest)
    asked = asked_for(forest, summary.first_ns, detail)
    slow, lines = count_slow(forest, detail), story.log_counts.lines
    yield from header(summary, story.previous_id, story.users, changes, slow, lines, asked, screen)
    if len(forest.roots) + len(forest.loose_logs) >= _LOOK_FIRST_FROM:
        first = list(look_first(forest, summary.first_ns, detail, screen))
        yield from ["", *first] if first else []
    many_services = len(services_of(builds_of(summary.resources))) > 1
    pen = Pen(Margin(screen, summary.first_ns), detail, many_services)
    yield ""
    yield pen.margin.heading()
    yield from timeline(forest, changes, pen)
    if (pen.hidden or story.access_lines_hidden) and not detail.full:
        yield ""
        yield screen.line(Piece(_MORE, "dim"))
        if story.access_lines_hidden:
            hidden = plural(story.access_lines_hidden, "access log line")
            yield screen.line(Piece(f"{hidden} left out: the requests say the same", "dim"))
