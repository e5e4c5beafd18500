"""Our cookie on the page and on the websocket's handshake: pure ASGI, in front of all that Streamlit serves.

The page is a `text/html` answer to a GET that asks for one; scripts, styles and media pass untouched. A handshake is
an answer, too: there the cookie is written anew when a browser whose page stayed open comes back.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter

from otel_session import context as here
from otel_session import propagation, propagators
from otel_session._guard import report
from otel_session.config import Config
from otel_session.context import Identity
from otel_session.instrumentors.streamlit.visitors import remember

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
_STREAM = "/_stcore/stream"
_CONDITIONS = frozenset({b"if-none-match", b"if-modified-since"})


class PageCookie:
    """The middleware. A server keeps it for ever; it acts while there are `settings`."""

    settings: Config | None = None

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        settings = self.settings
        if settings is not None:
            try:
                scope, send = _around(scope, send, settings)
            except Exception:
                report("PageCookie")
        await self._app(scope, receive, send)


def _around(scope: Scope, send: Send, settings: Config) -> tuple[Scope, Send]:
    kind = scope["type"]
    if kind == "websocket" and scope["path"].endswith(_STREAM):
        return _handshake(scope, send, settings)
    if kind == "http" and scope["method"] == "GET" and b"text/html" in _header(scope, b"accept"):
        return _page(scope, send, settings)
    return scope, send


def _page(scope: Scope, send: Send, settings: Config) -> tuple[Scope, Send]:
    identity = _identify(scope, settings)
    if not identity.set_cookie:
        return scope, send
    # "Not modified" would leave the browser with the old cookie.
    headers = [pair for pair in scope["headers"] if pair[0] not in _CONDITIONS]

    async def send_with_cookie(message: Any) -> None:
        if message["type"] == "http.response.start" and _may_set_cookie(message):
            _add_cookie(message, identity, settings)
        await send(message)

    return {**scope, "headers": headers}, send_with_cookie


def _handshake(scope: Scope, send: Send, settings: Config) -> tuple[Scope, Send]:
    identity = _identify(scope, settings)
    if not identity.set_cookie or identity.visit is None or not settings.cookie:
        return scope, send

    async def send_with_cookie(message: Any) -> None:
        if message["type"] == "websocket.accept":
            _add_cookie(message, identity, settings)
        await send(message)

    # What Streamlit keeps of the handshake has to be what the browser has from now on.
    cookie = f"{settings.cookie_name}={identity.visit.cookie_value()}".encode()
    brought = _header(scope, b"cookie")
    headers = [pair for pair in scope["headers"] if pair[0] != b"cookie"]
    headers.append((b"cookie", brought + b"; " + cookie if brought else cookie))
    return {**scope, "headers": headers}, send_with_cookie


def _identify(scope: Scope, settings: Config) -> Identity:
    incoming = propagators.incoming_of(scope, _getter)
    brought = propagation.visit_of(incoming.header("cookie"), settings, time.time())
    identity = here.current()
    if identity is None or identity.visit is None:  # else an instrumentation around this one has asked already
        identity = propagation.identify(incoming, Context(), settings)
    identity.answering = True  # no other layer writes the cookie, onto scripts and styles for one
    remember(identity, None if brought is None else brought.session_id)
    return identity


def _add_cookie(message: Any, identity: Identity, settings: Config) -> None:
    try:
        added = propagation.response_headers(identity, settings, cookie_allowed=True)
        pairs = [(b"set-cookie", value.encode("latin-1")) for name, value in added if name == "Set-Cookie"]
        message["headers"] = [*(message.get("headers") or ()), *pairs]
    except Exception:
        report("PageCookie.add_cookie")


def _may_set_cookie(message: Any) -> bool:
    content_type = propagators.carried_header(message, "content-type") or ""
    if message["status"] != 200 or not content_type.startswith("text/html"):
        return False
    cached = [propagators.carried_header(message, name) for name in ("cache-control", "expires", "last-modified")]
    return not propagation.publicly_cacheable(*cached)


def _header(scope: Scope, wanted: bytes) -> bytes:
    return b"; ".join(value for name, value in scope["headers"] if name == wanted)


class _ScopeGetter(Getter[Any]):
    """Headers of an ASGI scope, for `incoming_of`."""

    def get(self, carrier: Any, key: str) -> list[str] | None:
        wanted = key.lower().encode()
        return [value.decode("latin-1") for name, value in carrier["headers"] if name == wanted] or None

    def keys(self, carrier: Any) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier["headers"]]


_getter = _ScopeGetter()
