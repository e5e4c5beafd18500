"""`otel-session sessions`: the sessions in the local store, the one last active first."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence

from otel_session.cli._json import write_json
from otel_session.cli._listing import Listed, table_of, with_rows
from otel_session.cli._none_yet import none_yet
from otel_session.cli._session import summary_as_json
from otel_session.cli._source import add_store_argument, opened_store
from otel_session.cli._table import draw
from otel_session.cli._terminal import Piece, Screen, open_screen, write
from otel_session.cli._text import plural, wrap_words
from otel_session.cli._units import duration, parse_count, parse_span
from otel_session.cli._wanted import add_filters, is_narrowed, wanted_ids
from otel_session.store import StoreReader


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
    add_filters(parser)
    add_store_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print the listing.

    With `--json`: `{"sessions": [...], "unconfirmed": N, "more": bool}`. Each session has `session_id`, `short_id`,
    `confirmed`, `started_utc`, `started_local`, `last_activity_utc`, `length_s`, `requests`, `failed_requests`,
    `statements`, `spans`, `log_lines` (the application's own), `error_log_lines`, `events`, `access_lines` (what web
    servers log of requests), `users` (ids or their hashes), `services` (names) and `builds` (objects with `service`,
    `service_version`, `commit`, `revision`, `branch`, `date`, `dirty`; null where not known), oldest build first.
    `unconfirmed` counts the clients that came once; `more` says whether the limit cut the list.

    Returns:
        Exit code 0.

    Raises:
        StoreError: There is no store, or it cannot be read.
    """
    since_ns = None if args.since is None else time.time_ns() - args.since
    with opened_store(args) as reader:
        among = wanted_ids(reader, args)
        found = reader.sessions(
            limit=args.limit + 1,
            since_ns=since_ns,
            confirmed_only=not args.all,
            troubled_only=args.errors,
            among=among,
        )
        unconfirmed = reader.unconfirmed_count(since_ns, troubled_only=args.errors, among=among)
        listed = with_rows(reader, found[: args.limit])
        empty = [] if listed else _why_none(reader, args)
    more = len(found) > args.limit
    if args.json:
        sessions = [summary_as_json(one.summary, one.logs, one.users) for one in listed]
        write([write_json({"sessions": sessions, "unconfirmed": unconfirmed, "more": more})])
        return 0
    screen = open_screen(width=args.width, color=not args.no_color)
    write(_lines(listed, empty, more, 0 if args.all else unconfirmed, args.limit, screen))
    return 0


def _why_none(reader: StoreReader, args: argparse.Namespace) -> list[str]:
    like_this = " like this" if is_narrowed(args) else ""
    if args.since is not None:
        return [f"No session{like_this} was active in the last {duration(args.since)}."]
    return ["No session like this is stored."] if like_this else none_yet(reader)


def _lines(
    listed: list[Listed], empty: Sequence[str], more: bool, unconfirmed: int, limit: int, screen: Screen
) -> Iterator[str]:
    if listed:
        yield from draw(table_of(listed, screen), screen)
    for line in empty:
        yield from wrap_words(line, screen.width, max_lines=4)
    if more:
        yield screen.line(Piece(f"older ones are stored too: --limit {limit * 2} shows more", "dim"))
    if unconfirmed:
        clients = plural(unconfirmed, "client")
        yield screen.line(Piece(f"and {clients} that came once (probes, scrapers, API calls): --all shows them", "dim"))
