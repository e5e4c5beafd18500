"""Who is behind an open page: the rules of `propagation.identify`, for a connection whose cookie grows old.

A handshake's cookies are those of its moment. What they would say by now is in `kept_visits`, and the rules (idle,
lifetime, confirmed, ended) are asked with that on each rerun, as with a cookie on each request.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

from otel_session import ids, kept_visits, propagation, visits
from otel_session._guard import report
from otel_session.config import Config
from otel_session.context import Identity
from otel_session.instrumentors.streamlit.tabs import Tab
from otel_session.propagation import Incoming

_XSRF_COOKIE = "_streamlit_xsrf"
_MAX_XSRF_CHARS = 512


class Visitors:
    """Finds out who it is. One for the process; safe from any thread."""

    def __init__(self, settings: Config) -> None:
        self._settings = settings
        # Nothing is sent from a rerun: whether a cookie may be set is asked where one could be.
        self._unsent = replace(settings, cookie=True)

    def of_rerun(self, tab: Tab, client: Any) -> Identity:
        """Who a rerun belongs to.

        Args:
            tab: The open page.
            client: Its connection at the moment, None while there is none.
        """
        if not tab.is_of(client):
            self._read_handshake(tab, client)
        known = propagation.identify_again(tab.environ, self._unsent)
        if known is not None:
            return known
        assert tab.incoming is not None
        identity = propagation.identify(tab.incoming, tab.context, self._unsent)
        remember(identity, tab.visit_id)
        return identity

    def _read_handshake(self, tab: Tab, client: Any) -> None:
        headers = _headers_of(client)
        visit = self._visit(headers.get("cookie", ""), tab.app_session_id)
        cookie = f"{self._settings.cookie_name}={visit.cookie_value()}"
        said = {**headers, "cookie": cookie}
        for name in ("x-correlation-id", "x-request-id"):  # each rerun has its own
            said.pop(name, None)
        tab.visit_id = visit.session_id
        tab.environ = {"HTTP_COOKIE": cookie}
        tab.context = Context()
        if "baggage" in said:
            tab.environ["HTTP_BAGGAGE"] = said["baggage"]
            if len(said["baggage"]) <= propagation.MAX_BAGGAGE_CHARS:
                tab.context = W3CBaggagePropagator().extract({"baggage": said["baggage"]}, Context())
        peer = getattr(getattr(client, "client_context", None), "remote_ip", None)
        tab.incoming = Incoming(said.get, peer if isinstance(peer, str) else "", _scope_of(headers), False)
        tab.connected_by(client)

    def _visit(self, cookie: str, app_session_id: str) -> visits.Visit:
        now = time.time()
        brought = propagation.visit_of(cookie, self._settings, now)
        if brought is not None:
            return brought
        token = _xsrf_token(cookie) if self._settings.cookie else None
        secret = ids.secret_from("xsrf", token) if token else ids.secret_from("tab", app_session_id.encode())
        return visits.Visit(secret, int(now), int(now))


def remember(identity: Identity, brought_id: str | None) -> None:
    """Keep a visit that its browser's cookie does not say yet.

    Args:
        identity: Who it is now.
        brought_id: The visit that the browser brought, which may have become another one.
    """
    visit = identity.visit
    if visit is not None and identity.set_cookie:
        others = {known for known in (brought_id, identity.previous_id) if known and known != identity.session_id}
        kept_visits.keep(visit, known_as=others)


def begin_another(identity: Identity, brought_id: str | None) -> None:
    """After `end_session()` in a rerun: all open pages of that browser go on in one new session."""
    if identity.ended and identity.visit is not None:
        others = {known for known in (brought_id, identity.session_id) if known}
        kept_visits.keep(visits.new_visit(time.time()), known_as=others)


def _headers_of(client: Any) -> dict[str, str]:
    headers: dict[str, str] = {}
    try:
        for name, value in client.client_context.headers:
            name = name.lower()
            joined = "; " if name == "cookie" else ", "
            headers[name] = f"{headers[name]}{joined}{value}" if name in headers else value
    except (AttributeError, TypeError, ValueError):  # no client: Streamlit's own test runner, or a lost connection
        return {}
    return headers


def _scope_of(headers: dict[str, str]) -> dict[str, Any]:
    """What a callable source is given: as much of an ASGI scope as is known."""
    pairs = [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers.items()]
    return {"type": "websocket", "headers": pairs}


def _xsrf_token(cookie: str) -> bytes | None:
    """The random bytes in Streamlit's cookie against forged requests: masked anew on each page, the same beneath."""
    for pair in cookie.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == _XSRF_COOKIE and len(value) <= _MAX_XSRF_CHARS:
            try:
                from streamlit.web.server.starlette.starlette_app_utils import decode_xsrf_token_string

                token = decode_xsrf_token_string(value)[0]
                return token if token and len(token) >= ids.SECRET_BYTES else None
            except Exception:
                report("streamlit.xsrf_token")
    return None
