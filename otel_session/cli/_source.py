"""The store a command reads, and the session a person means by a few characters."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from otel_session import attributes as names
from otel_session import config
from otel_session.cli._none_yet import how_to_record, none_yet
from otel_session.cli._otlp_bytes import attribute, attribute_beginning
from otel_session.cli._text import escape, plural
from otel_session.cli._units import local_text
from otel_session.exceptions import OtelSessionError, StoreError
from otel_session.ids import short_id
from otel_session.store import StoreReader
from otel_session.store.decode import decode_span
from otel_session.store.records import SessionSummary
from otel_session.store.views import text

_MAX_CANDIDATES = 10
_SEARCHED = 10_000
_HEX = re.compile(r"[0-9A-Fa-f]{1,32}")
_OUR_REQUEST = re.compile(r"req_[0-9a-f]{4,12}", re.IGNORECASE)
_OUR_REQUEST_CHARS = 16
_MIN_CORRELATION_CHARS = 3


class UnknownSessionError(OtelSessionError):
    """No session, or more than one, is meant by what was typed; the message lists candidates."""


def add_store_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--store PATH`."""
    parser.add_argument(
        "--store", type=Path, metavar="PATH", help="the local telemetry file (default: OTEL_SESSION_STORE, or yours)"
    )


def store_path(args: argparse.Namespace) -> Path:
    """The file named by `--store`, else the configured one."""
    path: Path | None = args.store
    return config.store_path() if path is None else path.expanduser()


@contextmanager
def opened_store(args: argparse.Namespace) -> Iterator[StoreReader]:
    """A reader on the store, closed at the end.

    Raises:
        StoreError: There is no such file, or it cannot be read; the message says what to do.
    """
    path = store_path(args)
    if not path.exists():
        raise StoreError(f"There is no telemetry file {path} yet. {how_to_record(args.store)}")
    reader = StoreReader(path)
    try:
        yield reader
    finally:
        reader.close()


@dataclass(frozen=True, slots=True)
class Meant:
    """The session meant, and the correlation id of the request that it was found by, or `""`."""

    session_id: str
    correlation_id: str = ""


def find_session(reader: StoreReader, typed: str) -> Meant:
    """The one session meant.

    Args:
        reader: Where to look.
        typed: A whole id, its beginning, the short id of log lines, brackets and all, or a request's correlation id.

    Raises:
        UnknownSessionError: None or several are meant.
    """
    # What the shell passes on may not be text; no id has such characters.
    wanted = typed.encode("utf-8", "replace").decode().strip().strip("[]")
    if not wanted:
        raise UnknownSessionError(_nothing_typed(reader))
    found = reader.find(wanted) or (reader.find(wanted.lower()) if _HEX.fullmatch(wanted) else [])
    for whole in (wanted, wanted.lower()):
        if whole in found:
            return Meant(whole)
    if len(found) == 1:
        return Meant(found[0])
    if not found:
        known = reader.sessions(limit=_SEARCHED, confirmed_only=False)
        found = [s.session_id for s in known if short_id(s.session_id) == wanted.lower()]
        if len(found) == 1:
            return Meant(found[0])
    if not found:
        requests = requests_called(reader, wanted)
        found = list(dict.fromkeys(session_id for session_id, _ in requests if session_id is not None))
        if requests and not found:
            raise UnknownSessionError(f"The request {typed!r} is stored, and it belongs to no session.")
        if len(found) == 1:
            return Meant(found[0], requests[0][1])
    raise UnknownSessionError(_candidates(reader, typed, found))


def requests_called(reader: StoreReader, wanted: str) -> list[tuple[str | None, str]]:
    """Session and correlation id of the requests with this correlation id, or with one of ours that begins so."""
    if len(wanted) < _MIN_CORRELATION_CHARS:
        return []
    sought = attribute(names.CORRELATION_ID, wanted)
    if _OUR_REQUEST.fullmatch(wanted):
        sought = attribute_beginning(names.CORRELATION_ID, wanted.lower(), _OUR_REQUEST_CHARS)
    rows = reader.requests_holding(sought)
    return [(row.session_id, text(decode_span(row).attributes, names.CORRELATION_ID)) for row in rows]


def _nothing_typed(reader: StoreReader) -> str:
    heading = "Which session? Give its id, how it begins, or the correlation id of one of its requests."
    return "\n".join([heading, *_listed(reader.sessions(limit=_MAX_CANDIDATES))])


def _candidates(reader: StoreReader, typed: str, found: list[str]) -> str:
    known = reader.sessions(limit=_SEARCHED, confirmed_only=False)
    if found:
        heading = f"{plural(len(found), 'session')} are meant by {typed!r}; type more of the one you mean:"
        listed = [s for s in known if s.session_id in set(found)]
    else:
        heading = f"No session begins with {typed!r}, and no request has this correlation id."
        listed = [s for s in known if s.confirmed]
        heading += " The newest ones are:" if listed else "\n" + "\n".join(none_yet(reader))
    more = [f"  and {len(found) - _MAX_CANDIDATES:,} more"] if len(found) > _MAX_CANDIDATES else []
    return "\n".join([heading, *_listed(listed[:_MAX_CANDIDATES]), *more])


def _listed(sessions: Iterable[SessionSummary]) -> list[str]:
    return [f"  {escape(s.session_id)}  {local_text(s.first_ns)}  {plural(s.requests, 'request')}" for s in sessions]
