"""What the listing says of each session, and the table of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from otel_session.cli._build import builds_of, services_of
from otel_session.cli._log_lines import LogCounts, count_kinds
from otel_session.cli._session import length_ns
from otel_session.cli._table import Column, width_of
from otel_session.cli._terminal import Piece, Screen
from otel_session.cli._text import clip, escape
from otel_session.cli._units import duration, local, local_text
from otel_session.cli._wanted import short_user, users_of
from otel_session.ids import short_id
from otel_session.store import StoreReader
from otel_session.store.records import LogKind, SessionSummary

_DAY_S = 86_400
_SHORT_USER, _LONG_USER = 12, 32


@dataclass(frozen=True, slots=True)
class Listed:
    """A session, and what its rows say beyond its summary."""

    summary: SessionSummary
    logs: LogCounts
    users: list[str]


def with_rows(reader: StoreReader, summaries: Sequence[SessionSummary]) -> list[Listed]:
    """Look up what the summaries do not say."""
    ids = [s.session_id for s in summaries]
    users = users_of(reader, ids)
    kinds: dict[str, list[LogKind]] = {}
    for session_id, kind in reader.log_kinds(ids):
        kinds.setdefault(session_id, []).append(kind)
    return [Listed(s, count_kinds(kinds.get(s.session_id, ())), users.get(s.session_id, [])) for s in summaries]


def table_of(listed: Sequence[Listed], screen: Screen) -> list[Column]:
    """The columns that fit the screen."""
    # The most telling form that fits: whole ids, then short ids, then short everything, then no build if all have one.
    for full_ids, short_words in ((True, False), (False, False), (False, True)):
        table = _columns(listed, full_ids=full_ids, short_words=short_words)
        if screen.has(width_of(table)):
            return table
    one_build = len({_build(one.summary) for one in listed}) == 1
    return [column for column in table if column.heading != "build"] if one_build else table


def _columns(listed: Sequence[Listed], *, full_ids: bool, short_words: bool) -> list[Column]:
    def numbers(long: str, short: str, counts: Iterable[int], style: str = "") -> Column:
        cells = [Piece(f"{count:,}", style if count else "dim") for count in counts]
        return Column(short if short_words else long, cells, right=True)

    sums = [one.summary for one in listed]
    ids = [s.session_id if full_ids else short_id(s.session_id) for s in sums]
    table = [
        Column("session", [Piece(text, "bold" if s.confirmed else "dim") for s, text in zip(sums, ids, strict=True)])
    ]
    if any(one.users for one in listed):
        table.append(Column("user", [Piece(_users(one.users, short_words)) for one in listed]))
    table += [
        Column("started", [Piece(text) for text in _started(sums, short_words)]),
        Column("length", [Piece(_length(s, short_words)) for s in sums], right=True),
        numbers("requests", "reqs", (s.requests for s in sums)),
        numbers("errors", "errors", (s.failed_requests for s in sums), "error"),
        numbers("statements", "stmts", (s.statements for s in sums)),
        numbers("log lines", "logs", (one.logs.lines for one in listed)),
    ]
    if any(s.error_logs for s in sums):
        table.append(numbers("log errors", "log errs", (s.error_logs for s in sums), "red"))
    return [*table, *_origins(sums, short_words)]


def _origins(sums: Sequence[SessionSummary], short_words: bool) -> Iterator[Column]:
    yield Column("build", [Piece(_build(s)) for s in sums])
    services = [", ".join(services_of(builds_of(s.resources))) for s in sums]
    if not short_words or len(set(services)) > 1:
        yield Column("service", [Piece(text) for text in services])
    if not all(s.confirmed for s in sums):
        yield Column("", [Piece("" if s.confirmed else "came once", "dim") for s in sums])


def _users(users: Sequence[str], short: bool) -> str:
    # The last one: who signed out and came back as another is that other now.
    more = f" (+{len(users) - 1})" if len(users) > 1 else ""
    return clip(escape(short_user(users[-1])), _SHORT_USER if short else _LONG_USER) + more if users else ""


def _length(summary: SessionSummary, short: bool) -> str:
    text = duration(length_ns(summary))
    return text.replace(" ", "").replace("min", "m") if short else text


def _started(listed: Sequence[SessionSummary], short: bool) -> list[str]:
    if not short:
        return [local_text(s.first_ns) for s in listed]
    today = all(time.time() - s.first_ns / 1e9 < _DAY_S / 2 for s in listed)
    return [f"{local(s.first_ns):%H:%M:%S}" if today else f"{local(s.first_ns):%m-%d %H:%M}" for s in listed]


def _build(summary: SessionSummary) -> str:
    texts = list(dict.fromkeys(build.short for build in builds_of(summary.resources)))
    return texts[-1] if len(texts) == 1 else f"{texts[-1]} (+{len(texts) - 1} before)" if texts else ""
