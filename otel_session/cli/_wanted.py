"""The sessions a person looks for: those of a user, with errors, with slow requests, with a path; and their users."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_session import attributes as names
from otel_session import config
from otel_session.cli._fold import Detail
from otel_session.cli._otlp_bytes import attribute, attribute_beginning
from otel_session.cli._units import parse_span
from otel_session.environment_variables import OTEL_SESSION_SECRET
from otel_session.ids import keyed_hash
from otel_session.store import StoreReader
from otel_session.store.decode import decode_attributes
from otel_session.store.views import Attributes, text

_HASH_CHARS = 32
_HASH_START = re.compile(r"[0-9a-f]{8,32}")
_PATHS = (names.URL_PATH, names.HTTP_ROUTE, names.OLD_HTTP_TARGET)
_USERS = (names.USER_ID, names.USER_HASH)


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Declare the options that narrow the listing."""
    parser.add_argument(
        "--user",
        metavar="WHO",
        help="only those of this user: an id, a hash or its first 8 digits or more; "
        "with OTEL_SESSION_SECRET set, an id is found by its hash too",
    )
    parser.add_argument("--errors", action="store_true", help="only those with failed requests or error log lines")
    parser.add_argument(
        "--slow",
        type=parse_span,
        nargs="?",
        const=Detail().slow_ns,
        metavar="TIME",
        help="only those with a request that took at least this (default: 300ms)",
    )
    parser.add_argument(
        "--path",
        metavar="TEXT",
        help="only those with a request whose path or route contains it (with --slow: this one slow)",
    )


def is_narrowed(args: argparse.Namespace) -> bool:
    """Whether any of the filters is given."""
    return bool(args.user is not None or args.errors or args.slow is not None or args.path is not None)


def wanted_ids(reader: StoreReader, args: argparse.Namespace) -> set[str] | None:
    """Ids of the sessions that the filters on requests leave; None when none is given."""
    found: set[str] | None = None
    if args.user is not None:
        found = reader.sessions_requesting(any_of=user_bytes(args.user))
    if args.slow is None and args.path is None:
        return found
    min_ns = args.slow or 0
    if args.path is None:
        requested = reader.sessions_requesting(min_ns=min_ns)
    else:
        path = args.path.encode("utf-8", "replace")
        requested = reader.sessions_requesting(
            any_of=[path] if path else (), min_ns=min_ns, accept=lambda body: _requests_path(body, args.path)
        )
    return requested if found is None else found & requested


def user_bytes(who: str) -> list[bytes]:
    """What stands in the OTLP bytes of this user's requests: one of these."""
    who = who.encode("utf-8", "replace").decode()
    sought = [attribute(names.USER_ID, who), attribute(names.USER_HASH, who)]
    if secret := config.environment().get(OTEL_SESSION_SECRET, "").strip():
        sought.append(attribute(names.USER_HASH, keyed_hash("user:" + who, secret)))
    if _HASH_START.fullmatch(start := who.lower()):
        sought.append(attribute_beginning(names.USER_HASH, start, _HASH_CHARS))
    return sought


def users_of(reader: StoreReader, session_ids: Collection[str]) -> dict[str, list[str]]:
    """The users of each of the sessions, as its requests name them; sessions without any do not appear."""
    users: dict[str, list[str]] = {}
    known: dict[str, list[bytes]] = {}
    for session_id, body in reader.request_bodies(session_ids, any_of=[name.encode() for name in _USERS]):
        seen = known.setdefault(session_id, [])
        if any(named in body for named in seen):
            continue
        attributes = _attributes(body)
        for name in _USERS:
            if user := text(attributes, name):
                seen.append(attribute(name, user))
                users.setdefault(session_id, []).append(user)
                break
    return {session_id: list(dict.fromkeys(found)) for session_id, found in users.items()}


def short_user(user: str) -> str:
    """A hash's first 8 digits, which `--user` takes; ids as they are."""
    return user[:8] if len(user) == _HASH_CHARS and _HASH_START.fullmatch(user) else user


def _requests_path(body: bytes, sought: str) -> bool:
    attributes = _attributes(body)
    return any(sought in text(attributes, name) for name in _PATHS)


def _attributes(body: bytes) -> Attributes:
    try:
        return decode_attributes(Span.FromString(body).attributes)
    except DecodeError:
        return {}
