"""The store a command reads, and the session a person means by a few characters."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from otel_session import config
from otel_session.cli._text import escape, plural
from otel_session.cli._units import local_text
from otel_session.exceptions import OtelSessionError, StoreError
from otel_session.ids import short_id
from otel_session.store import StoreReader

_MAX_CANDIDATES = 10
_SEARCHED = 10_000

HOW_TO_RECORD = (
    "Start the app with: otel-session run -- flask --app app run\n"
    "and open a page or two in a browser: a session is listed from its second request on."
)


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
        raise StoreError(f"There is no telemetry file {path} yet. {HOW_TO_RECORD}")
    reader = StoreReader(path)
    try:
        yield reader
    finally:
        reader.close()


def find_session(reader: StoreReader, typed: str) -> str:
    """The id of the one session meant: a whole id, its beginning, or the short id of log lines, brackets and all.

    Raises:
        UnknownSessionError: None or several are meant.
    """
    # What the shell passes on may not be text; no id has such characters.
    wanted = typed.encode("utf-8", "replace").decode().strip().strip("[]")
    found = reader.find(wanted) if wanted else []
    if wanted in found:
        return wanted
    if not found and wanted:
        known = reader.sessions(limit=_SEARCHED, confirmed_only=False)
        found = [s.session_id for s in known if short_id(s.session_id) == wanted]
    if len(found) == 1:
        return found[0]
    raise UnknownSessionError(_candidates(reader, typed, found))


def _candidates(reader: StoreReader, typed: str, found: list[str]) -> str:
    known = reader.sessions(limit=_SEARCHED, confirmed_only=False)
    if found:
        heading = f"{plural(len(found), 'session')} begin with {typed!r}; type more of the one you mean:"
        listed = [s for s in known if s.session_id in set(found)]
    else:
        heading = f"No session begins with {typed!r}."
        listed = [s for s in known if s.confirmed]
        heading += " The newest ones are:" if listed else f" None is stored yet. {HOW_TO_RECORD}"
    lines = [heading]
    for s in listed[:_MAX_CANDIDATES]:
        lines.append(f"  {escape(s.session_id)}  {local_text(s.first_ns)}  {plural(s.requests, 'request')}")
    if len(found) > _MAX_CANDIDATES:
        lines.append(f"  and {len(found) - _MAX_CANDIDATES:,} more")
    return "\n".join(lines)
