"""The OpenTelemetry propagators: session ids for every framework an official HTTP server instrumentation covers.

The official instrumentations call the global propagator on each request and the global response propagator on each
response. `SessionPropagator` finds out who sent the request, `SessionResponsePropagator` returns the correlation id
and writes the cookie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.instrumentation.propagators import ResponsePropagator, default_setter
from opentelemetry.propagators.textmap import CarrierT, Getter, Setter, TextMapPropagator, default_getter

from otel_session import config, cookies, propagation
from otel_session import context as here
from otel_session._guard import guarded, report

IDENTITY_KEY = "otel_session.identity"
"""Where a WSGI environ keeps the identity that an outer layer found, so that all layers agree on it."""

_REQUEST_SCOPES = ("http", "websocket")
_NOT_MODIFIED = 304


class _Switch:
    """Whether we act at all; the environment is asked once, at the first request."""

    _on: bool | None = None

    def _is_on(self) -> bool:
        if self._on is None:
            self._on = not config.sdk_disabled()
        return self._on


class SessionPropagator(_Switch, TextMapPropagator):
    """Requests -> session id and correlation id in the context. Listed after `tracecontext,baggage`.

    Ids travel on as W3C baggage, by the baggage propagator; this one injects nothing.
    """

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """The context with who is here in it. Never raises, whatever the carrier holds."""
        base = Context() if context is None else context
        if here.current(base) is not None or not self._is_on():
            return base
        try:
            settings = config.active()
            known = carrier.get(IDENTITY_KEY) if isinstance(carrier, dict) else None
            identity = known or propagation.identify(incoming_of(carrier, getter), base, settings)
            return here.put(identity, base, in_baggage=settings.baggage)
        except Exception:
            report("SessionPropagator.extract")
            return base

    def inject(self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] | None = None) -> None:
        """Nothing: the baggage propagator carries the ids."""

    @property
    def fields(self) -> set[str]:
        """No header is written."""
        return set()


def incoming_of(carrier: Any, getter: Getter[Any]) -> propagation.Incoming:
    """What a carrier of any framework tells: a WSGI environ, an ASGI scope, or a mapping of headers."""
    if isinstance(carrier, dict) and "REQUEST_METHOD" in carrier:
        header = _environ_header(carrier)
        scheme = carrier.get("wsgi.url_scheme")
        return propagation.Incoming(header, carrier.get("REMOTE_ADDR"), carrier, _over_tls(scheme, header))

    def carried(name: str) -> str | None:
        values = getter.get(carrier, name)
        if not values:
            return None
        return "; ".join(map(str, values)) if name == "cookie" else str(values[0])

    if isinstance(carrier, dict) and carrier.get("type") in _REQUEST_SCOPES:
        client = carrier.get("client")
        peer, scheme, is_http = (client[0] if client else ""), carrier.get("scheme"), True
    else:  # plain headers: only a request has a Host
        is_http = carried("host") is not None
        peer, scheme = ("" if is_http else None), None
    return propagation.Incoming(carried, peer, carrier, _over_tls(scheme, carried), is_http)


def environ_key(name: str) -> str:
    """Where a WSGI environ keeps the header of this name."""
    return _ENVIRON_KEYS.get(name) or "HTTP_" + name.upper().replace("-", "_")


_ENVIRON_KEYS = {
    name: "HTTP_" + name.upper().replace("-", "_")
    for name in (
        "baggage",
        "cookie",
        "traceparent",
        "tracestate",
        "x-correlation-id",
        "x-forwarded-proto",
        "x-request-id",
    )
}


def _environ_header(environ: dict[str, Any]) -> Callable[[str], str | None]:
    def header(name: str) -> str | None:
        value: str | None = environ.get(environ_key(name))
        return value

    return header


def came_over_tls(environ: dict[str, Any]) -> bool:
    """Whether a request came over TLS, as far as its environ tells."""
    return environ.get("wsgi.url_scheme") == "https" or (
        "HTTP_X_FORWARDED_PROTO" in environ and _over_tls(None, _environ_header(environ))
    )


def _over_tls(scheme: str | None, header: Callable[[str], str | None]) -> bool:
    # Behind several proxies X-Forwarded-Proto is a list; the first one is what the client used.
    return scheme in ("https", "wss") or (header("x-forwarded-proto") or "").lower().startswith("https")


class SessionResponsePropagator(_Switch, ResponsePropagator):
    """The context -> X-Correlation-ID and, where it has to be written, our cookie."""

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = default_setter) -> None:
        """Add the headers; a response that a shared cache may keep gets no cookie. Never raises."""
        if self._is_on():
            _inject(carrier, context, setter)


@guarded
def _inject(carrier: Any, context: Context | None, setter: Any) -> None:
    # Some instrumentations hand over a context with nothing but the span.
    identity = here.current(context) or here.current()
    if identity is None or identity.answering:
        return
    allowed = _may_set_cookie(carrier)
    for name, value in propagation.response_headers(identity, config.active(), cookie_allowed=allowed):
        if name == "Set-Cookie" or carried_header(carrier, name.lower()) is None:
            setter.set(carrier, name, value)


def _may_set_cookie(carrier: Any) -> bool:
    if isinstance(carrier, Mapping) and carrier.get("status") == _NOT_MODIFIED:
        return False
    if getattr(carrier, "status_code", None) == _NOT_MODIFIED:
        return False
    if _holds_one_cookie(carrier) and carried_header(carrier, "set-cookie") is not None:
        return False  # the setter would join the two with a comma
    headers = [carried_header(carrier, name) for name in ("cache-control", "expires", "last-modified")]
    return not cookies.publicly_cacheable(*headers)


def _holds_one_cookie(carrier: Any) -> bool:
    return not isinstance(carrier, list | tuple) and not (isinstance(carrier, Mapping) and "headers" in carrier)


def carried_header(carrier: Any, name: str) -> str | None:
    """A response header's value, from WSGI's list of pairs, an ASGI message, or a mapping; None when absent."""
    pairs: Iterable[Any]
    if isinstance(carrier, Mapping) and "headers" in carrier:
        pairs = carrier["headers"] or ()
    elif isinstance(carrier, Mapping):
        pairs = carrier.items()
    elif isinstance(carrier, list | tuple):
        pairs = carrier
    elif hasattr(carrier, "get"):
        value = carrier.get(name)
        return None if value is None else str(value)
    else:
        return None
    for key, value in pairs:
        if _text(key).lower() == name:
            return _text(value)
    return None


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


class BothResponsePropagators(ResponsePropagator):
    """A response propagator that was there before us, and ours."""

    def __init__(self, first: ResponsePropagator) -> None:
        self.first = first
        self._ours = SessionResponsePropagator()

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = default_setter) -> None:
        """Both, the other one first."""
        self.first.inject(carrier, context=context, setter=setter)
        self._ours.inject(carrier, context=context, setter=setter)
