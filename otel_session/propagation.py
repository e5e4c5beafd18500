"""Request headers and cookies -> who is here; who is here -> response headers.

Our own server instrumentors call `identify` and `response_headers` directly; `propagators.py` offers the same to
every other framework.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from opentelemetry import baggage
from opentelemetry.context import Context

from otel_session import attributes as names
from otel_session import context as here
from otel_session import cookies, events, ids, kept_visits, tallies, visits
from otel_session._guard import report
from otel_session.config import Config
from otel_session.context import Identity
from otel_session.cookies import publicly_cacheable
from otel_session.recent_ids import RecentIds

__all__ = [
    "CORRELATION_HEADER",
    "MAX_BAGGAGE_CHARS",
    "Incoming",
    "adopt",
    "end_session",
    "identify",
    "load_callable",
    "publicly_cacheable",
    "response_headers",
    "visit_of",
]

CORRELATION_HEADER = "X-Correlation-ID"
_CORRELATION_HEADERS = ("x-correlation-id", "x-request-id")
MAX_BAGGAGE_CHARS = 8_192
"""The baggage propagator refuses a longer header (W3C Baggage, 3.3)."""
_REFRESH_SHARE = 30
"""The cookie's last-use time is rewritten when it is older than a thirtieth of the idle time (60 s by default)."""


class Incoming(NamedTuple):
    """What is looked at in a request.

    Attributes:
        header: Gives the value of a header by its lower-case name, or None.
        peer: The IP address at the other end, None for a message without one.
        raw: The WSGI environ, the ASGI scope, or whatever else the framework has.
        over_tls: Whether the request came over TLS, as far as can be seen.
        is_http: Whether this is a request of a client, not a message of a broker.
    """

    header: Callable[[str], str | None]
    peer: str | None
    raw: Any
    over_tls: bool
    is_http: bool = True


def identify(incoming: Incoming, context: Context, settings: Config) -> Identity:
    """Find out who sent a request. Always gives an identity; a bad or hostile value is ignored and counted.

    Args:
        incoming: The request.
        context: The context extracted by the other propagators: its baggage is looked at, and believed only from
            trusted sources.
        settings: The configuration in force.
    """
    identity = _identified(incoming, context, settings)
    identity.over_tls = incoming.over_tls
    return identity


def _identified(incoming: Incoming, context: Context, settings: Config) -> Identity:
    session_id, baggage_correlation = _from_baggage(incoming, context, settings)
    correlation_id = (_correlation_of(incoming) if incoming.is_http else None) or baggage_correlation
    if session_id is not None:
        return Identity(session_id, correlation_id, confirmed=True)
    if not incoming.is_http:
        return Identity(None, correlation_id)
    if settings.source == "cookie":
        return _from_cookie(incoming, settings, correlation_id)
    return _from_outside(incoming, settings, correlation_id)


def _from_baggage(incoming: Incoming, context: Context, settings: Config) -> tuple[str | None, str | None]:
    # Checked and counted whoever sent it, believed from trusted sources only.
    header = incoming.header("baggage")
    if not header:
        return None, None
    if len(header) > MAX_BAGGAGE_CHARS:
        tallies.count_refused("baggage")
        return None, None
    session_id = _baggage_entry(names.SESSION_ID, header, context)
    correlation_id = _baggage_entry(names.CORRELATION_ID, header, context)
    return (session_id, correlation_id) if settings.trusted_baggage.covers(incoming.peer) else (None, None)


def _baggage_entry(name: str, header: str, context: Context) -> str | None:
    value = baggage.get_baggage(name, context)
    if value is None and name in header:  # the baggage propagator could not read it
        tallies.count_refused("baggage")
    return _valid("baggage", value)


def _from_cookie(incoming: Incoming, settings: Config, correlation_id: str | None) -> Identity:
    now = time.time()
    brought = visit_of(incoming.header("cookie"), settings, now)
    visit = None if brought is None else kept_visits.latest(brought)
    newer = visit != brought
    if visit is not None:
        session_id = visit.session_id
        reason = visit.ended(now, idle_s=settings.idle_s, lifetime_s=settings.lifetime_s)
        if reason is not None:
            return _rotated(visit, session_id, reason, now, settings, correlation_id)
        # A request that was under way when its session was ended may have brought the cookie back.
        if session_id not in _ended:
            return _continued(incoming, visit, session_id, now, settings, correlation_id, newer=newer)
    if not settings.cookie:
        return Identity(None, correlation_id)
    visit = visits.new_visit(now)
    return Identity(visit.session_id, correlation_id, visit=visit, set_cookie=True)


def _continued(
    incoming: Incoming,
    visit: visits.Visit,
    session_id: str,
    now: float,
    settings: Config,
    correlation_id: str | None,
    *,
    newer: bool,
) -> Identity:
    stale = not visit.confirmed or now - visit.last_s > max(1.0, settings.idle_s / _REFRESH_SHARE)
    identity = Identity(
        session_id,
        correlation_id,
        previous_id=visit.previous_id,
        confirmed=True,
        visit=visit.used(int(now)) if stale else visit,
        set_cookie=stale or newer,
    )
    if not stale:
        _keep(incoming.header("cookie") or "", visit, now, settings)
    if not visit.confirmed and _started.first_time(session_id):
        events.session_started(identity, start_s=visit.start_s)
    return identity


def _rotated(
    visit: visits.Visit, ended_id: str, reason: str, now: float, settings: Config, correlation_id: str | None
) -> Identity:
    # A visit that never came back while it lasted was not confirmed: it never started, so it does not end.
    if visit.confirmed and _ended.first_time(ended_id):
        ended_s = visit.last_s + settings.idle_s if reason == "idle" else visit.start_s + settings.lifetime_s
        events.session_ended(Identity(ended_id, correlation_id, confirmed=True), reason, at_s=min(ended_s, now))
    if not settings.cookie:
        return Identity(None, correlation_id)
    fresh = visits.next_visit(visit, now, idle_s=settings.idle_s)
    return Identity(fresh.session_id, correlation_id, previous_id=ended_id, visit=fresh, set_cookie=True)


def _from_outside(incoming: Incoming, settings: Config, correlation_id: str | None) -> Identity:
    kind, _, rest = settings.source.partition(":")
    session_id = None
    if kind == "header":
        session_id = _valid("header", incoming.header(rest.lower()))
    elif kind == "callable":
        session_id = _valid("callable", _called(rest, incoming.raw))
    identity = Identity(None, correlation_id)
    if session_id is not None:
        adopt(identity, session_id)
    return identity


def adopt(identity: Identity, session_id: str) -> None:
    """Give an identity a session id that is not from our cookie; the second sight of an id confirms it."""
    identity.set_session(session_id, confirmed=not _adopted.first_time(session_id))
    if identity.confirmed and _started.first_time(session_id):
        events.session_started(identity, start_s=None)


def _correlation_of(incoming: Incoming) -> str | None:
    for name in _CORRELATION_HEADERS:
        value = incoming.header(name)
        if value and (checked := _valid("correlation", value)) is not None:
            return checked
    return None


def _valid(source: str, value: object) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and ids.is_valid_id(value):
        return value
    tallies.count_refused(source)
    return None


def visit_of(header: str | None, settings: Config, now: float) -> visits.Visit | None:
    """The visit that a Cookie header brings, the one used last of several; None without one, or a hostile header."""
    if not header:
        return None
    if len(header) > cookies.MAX_HEADER_CHARS:
        tallies.count_refused("cookie")
        return None
    latest = None
    for value in cookies.values_in(header, settings.cookie_name):
        visit = visits.parse(value, now)
        if visit is None:
            tallies.count_refused("cookie")
        elif latest is None or visit.last_s > latest.last_s:
            latest = visit
    return latest


# Browsers send several requests at once, and each of them may be a session's second: one event is enough.
_adopted, _started, _ended = RecentIds(), RecentIds(), RecentIds()

_KEPT_MOST = 2_000
_KEPT_CHARS = 1_024
_kept: dict[str, tuple[visits.Visit, str]] = {}
_kept_since_s = 0.0


def identify_again(environ: Mapping[str, Any], settings: Config) -> Identity | None:
    """Who sent a request whose Cookie header is known from before: most requests of a visit.

    Costs a tenth of `identify`. None, for `identify` to look closely, when anything is new or has run out. Whether it
    came over TLS is left to the caller.
    """
    found = _kept.get(environ.get("HTTP_COOKIE", ""))
    if found is None or "HTTP_BAGGAGE" in environ or settings.source != "cookie":
        return None
    visit, session_id = found
    now = time.time()
    fresh = now - visit.last_s <= settings.idle_s / _REFRESH_SHARE and now - visit.start_s <= settings.lifetime_s
    if not fresh or (_ended.used and session_id in _ended):
        return None
    correlation_id = None
    if "HTTP_X_CORRELATION_ID" in environ or "HTTP_X_REQUEST_ID" in environ:
        correlation_id = _valid("correlation", environ.get("HTTP_X_CORRELATION_ID")) or _valid(
            "correlation", environ.get("HTTP_X_REQUEST_ID")
        )
    return Identity(session_id, correlation_id, previous_id=visit.previous_id, confirmed=True, visit=visit)


def _keep(header: str, visit: visits.Visit, now: float, settings: Config) -> None:
    global _kept, _kept_since_s
    if len(header) > _KEPT_CHARS:
        return
    # What is older is of no use: the cookie is rewritten by then, and the header another one.
    if len(_kept) >= _KEPT_MOST or not 0 <= now - _kept_since_s <= settings.idle_s / _REFRESH_SHARE:
        _kept, _kept_since_s = {}, now
    _kept[header] = visit, visit.session_id


_callables: dict[str, Callable[..., Any]] = {}


def load_callable(spec: str) -> Callable[..., Any]:
    """The function that `MODULE:FUNCTION` names, imported at its first use."""
    found = _callables.get(spec)
    if found is None:
        module, _, path = spec.partition(":")
        target: Any = importlib.import_module(module)
        for part in path.split("."):
            target = getattr(target, part)
        found = _callables[spec] = target
    return found


def _called(spec: str, raw: Any) -> object:
    try:
        return load_callable(spec)(raw)
    except Exception:
        report(f"the session id callable {spec}")
        return None


def response_headers(identity: Identity, settings: Config, *, cookie_allowed: bool) -> Iterator[tuple[str, str]]:
    """The headers our identity adds to a response: the correlation id, and the cookie where it has to be written.

    The cookie is given once for each request, however many layers ask.
    """
    yield CORRELATION_HEADER, identity.correlation_id
    visit = identity.visit
    if identity.set_cookie and cookie_allowed and settings.cookie and visit is not None:
        identity.set_cookie = False
        value = "" if identity.ended else visit.cookie_value()
        yield "Set-Cookie", cookies.set_cookie(value, settings, over_tls=identity.over_tls)


def end_session() -> bool:
    """End the current session: a `session.end` event, and a new id from the client's next request on.

    A session that was never confirmed ends without an event, as it began. Where the id does not come from our cookie,
    it changes when its source gives another.

    Returns:
        Whether there was a session to end.
    """
    identity = here.current()
    if identity is None or identity.session_id is None:
        return False
    identity.ended = identity.set_cookie = True
    if _ended.first_time(identity.session_id) and identity.confirmed:
        events.session_ended(identity, "explicit")
    return True
