"""Whose line it is: session, correlation id, user, trace and span, as log lines show them."""

from __future__ import annotations

from functools import lru_cache
from json.encoder import encode_basestring as quoted
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import format_span_id, format_trace_id

from otel_session import context as here
from otel_session import ids
from otel_session.context import Identity

ANONYMOUS = "anonymous"
UNKNOWN = "-"
"""What a text line shows in the place of an id that is not known."""


class Who(NamedTuple):
    """The ids of one identity, and the same as they stand in lines.

    Attributes:
        session_id: None when not known.
        correlation_id: None when not known.
        user_id: `anonymous`, a keyed hash, or the raw id where that was asked for.
        short: The session id as people are shown it, `-` when not known.
        as_json: A JSON object's inner text, with a comma first.
        prefix: The short id in brackets and a space.
    """

    session_id: str | None
    correlation_id: str | None
    user_id: str
    short: str
    as_json: str
    prefix: str


class Place(NamedTuple):
    """A trace and a span as hex digits, None outside of one; and as they stand in JSON, with a comma first."""

    trace_id: str | None
    span_id: str | None
    as_json: str


def _json(text: str | None) -> str:
    return "null" if text is None else quoted(text.encode("utf-8", "replace").decode())


@lru_cache(512)
def who(session_id: str | None, correlation_id: str | None, user_id: str | None) -> Who:
    """The ids as lines show them."""
    user = user_id or ANONYMOUS
    short = UNKNOWN if session_id is None else ids.short_id(session_id)
    as_json = f',"correlation_id":{_json(correlation_id)},"session_id":{_json(session_id)},"user_id":{_json(user)}'
    return Who(session_id, correlation_id, user, short, as_json, f"[{short}] ")


@lru_cache(512)
def place(trace_id: str | None, span_id: str | None) -> Place:
    """A place in a trace as lines show it."""
    return Place(trace_id, span_id, f',"trace_id":{_json(trace_id)},"span_id":{_json(span_id)}')


NOBODY = who(None, None, None)
NOWHERE = place(None, None)


def who_in(context: Context) -> Who:
    """Who is here in a context."""
    identity = here.current(context)
    if identity is None:
        return NOBODY
    return identity.in_log_lines or _learn(identity)


def _learn(identity: Identity) -> Who:
    user = identity.user
    known = who(identity.session_id, identity.correlation_id, user[1] if user else None)
    identity.in_log_lines = known
    return known


_last: tuple[Any, Place] = (None, NOWHERE)


def place_in(context: Context) -> Place:
    """The current span's trace and span id; those of the span asked for last are at hand."""
    global _last
    span = here.span_in(context)
    if span is None:
        return NOWHERE
    known = span.get_span_context()
    last, found = _last  # read once: another thread may replace it
    if last is known:
        return found
    if not known.is_valid:
        return NOWHERE
    trace_id, span_id = format_trace_id(known.trace_id), format_span_id(known.span_id)
    found = Place(trace_id, span_id, f',"trace_id":"{trace_id}","span_id":"{span_id}"')
    _last = known, found
    return found
