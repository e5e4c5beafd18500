"""`otel-session sessions`: the sessions in the local store, the one last active first."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence

from otel_session.cli._build import builds_of, services_of
from otel_session.cli._json import write_json
from otel_session.cli._session import length_ns, summary_as_json
from otel_session.cli._source import HOW_TO_RECORD, add_store_argument, opened_store
from otel_session.cli._table import Column, draw, width_of
from otel_session.cli._terminal import Piece, Screen, open_screen, write
from otel_session.cli._text import plural
from otel_session.cli._units import duration, local, local_text, parse_count, parse_span
from otel_session.ids import short_id
from otel_session.store.records import SessionSummary

_DAY_S = 86_400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes to its parser."""
    parser.add_argument("--limit", type=parse_count, default=50, metavar="N", help="at most N sessions (default: 50)")
    parser.add_argument("--since", type=parse_span, metavar="TIME", help="only those active in the last 30m, 1h, 2d")
    parser.add_argument("--all", action="store_true", help="also the clients that came once")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument(
        "--width", type=parse_count, metavar="N", help="columns to use, 40 or more (default: the terminal's)"
    )
    parser.add_argument("--no-color", action="store_true", help="plain text, also on a terminal")
    add_store_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print the listing.

    With `--json`: `{"sessions": [...], "unconfirmed": N, "more": bool}`. Each session has `session_id`, `short_id`,
    `confirmed`, `started_utc`, `started_local`, `last_activity_utc`, `length_s`, `requests`, `failed_requests`,
    `statements`, `spans`, `log_lines`, `error_log_lines`, `services` (names) and `builds` (objects with `service`,
    `service_version`, `commit`, `revision`, `branch`, `date`, `dirty`; null where not known), oldest build first.
    `unconfirmed` counts the clients that came once; `more` says whether the limit cut the list.

    Returns:
        Exit code 0.

    Raises:
        StoreError: There is no store, or it cannot be read.
    """
    since_ns = None if args.since is None else time.time_ns() - args.since
    with opened_store(args) as reader:
        found = reader.sessions(limit=args.limit + 1, since_ns=since_ns, confirmed_only=not args.all)
        unconfirmed = reader.unconfirmed_count(since_ns=since_ns)
    listed, more = found[: args.limit], len(found) > args.limit
    if args.json:
        sessions = [summary_as_json(summary) for summary in listed]
        write([write_json({"sessions": sessions, "unconfirmed": unconfirmed, "more": more})])
        return 0
    screen = open_screen(width=args.width, color=not args.no_color)
    write(_lines(listed, more, 0 if args.all else unconfirmed, args, screen))
    return 0


def _lines(
    listed: list[SessionSummary], more: bool, unconfirmed: int, args: argparse.Namespace, screen: Screen
) -> Iterator[str]:
    if listed:
        yield from draw(_table(listed, screen), screen)
    elif args.since is not None:
        yield screen.line(Piece(f"No session was active in the last {duration(args.since)}."))
    else:
        yield screen.line(Piece("No sessions yet."))
        yield from HOW_TO_RECORD.splitlines()
    if more:
        yield screen.line(Piece(f"older ones are stored too: --limit {args.limit * 2} shows more", "dim"))
    if unconfirmed:
        clients = plural(unconfirmed, "client")
        yield screen.line(Piece(f"and {clients} that came once (probes, scrapers, API calls): --all shows them", "dim"))


def _table(listed: Sequence[SessionSummary], screen: Screen) -> list[Column]:
    # The most telling form that fits: whole ids, then short ids, then short everything.
    for full_ids, short_words in ((True, False), (False, False), (False, True)):
        table = _columns(listed, full_ids=full_ids, short_words=short_words)
        if screen.has(width_of(table)):
            break
    return table


def _columns(listed: Sequence[SessionSummary], *, full_ids: bool, short_words: bool) -> list[Column]:
    def numbers(long: str, short: str, counts: Sequence[int], style: str = "") -> Column:
        cells = [Piece(f"{count:,}", style if count else "dim") for count in counts]
        return Column(short if short_words else long, cells, right=True)

    ids = [s.session_id if full_ids else short_id(s.session_id) for s in listed]
    lengths = [duration(length_ns(s)) for s in listed]
    if short_words:
        lengths = [text.replace(" ", "").replace("min", "m") for text in lengths]
    services = [", ".join(services_of(builds_of(s.resources))) for s in listed]
    table = [
        Column("session", [Piece(text, "bold" if s.confirmed else "dim") for s, text in zip(listed, ids, strict=True)]),
        Column("started", [Piece(text) for text in _started(listed, short_words)]),
        Column("length", [Piece(text) for text in lengths], right=True),
        numbers("requests", "reqs", [s.requests for s in listed]),
        numbers("errors", "errors", [s.failed_requests for s in listed], "error"),
        numbers("statements", "stmts", [s.statements for s in listed]),
        numbers("log lines", "logs", [s.logs for s in listed]),
    ]
    if any(s.error_logs for s in listed):
        table.append(numbers("log errors", "log errs", [s.error_logs for s in listed], "red"))
    table.append(Column("build", [Piece(_build(s)) for s in listed]))
    if not short_words or len(set(services)) > 1:
        table.append(Column("service", [Piece(text) for text in services]))
    if not all(s.confirmed for s in listed):
        table.append(Column("", [Piece("" if s.confirmed else "came once", "dim") for s in listed]))
    return table


def _started(listed: Sequence[SessionSummary], short: bool) -> list[str]:
    if not short:
        return [local_text(s.first_ns) for s in listed]
    today = all(time.time() - s.first_ns / 1e9 < _DAY_S / 2 for s in listed)
    return [f"{local(s.first_ns):%H:%M:%S}" if today else f"{local(s.first_ns):%m-%d %H:%M}" for s in listed]


def _build(summary: SessionSummary) -> str:
    texts = list(dict.fromkeys(build.short for build in builds_of(summary.resources)))
    return texts[-1] if len(texts) == 1 else f"{texts[-1]} (+{len(texts) - 1} before)" if texts else ""
