"""The OpenTelemetry propagators: session ids for every framework an official HTTP server instrumentation covers.

The official instrumentations call the global propagator on each request and the global response propagator on each
response. `SessionPropagator` finds out who sent the request, `SessionResponsePropagator` returns the correlation id
and writes the cookie.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.instrumentation.propagators import ResponsePropagator, default_setter
from opentelemetry.propagators.textmap import CarrierT, Getter, Setter, TextMapPropagator, default_getter

from otel_session import config, propagation
from otel_session import context as here
from otel_session._guard import guarded, report

IDENTITY_KEY = "otel_session.identity"
"""Where a WSGI environ keeps the identity that an outer layer found, so that all layers agree on it."""

_REQUEST_SCOPES = ("http", "websocket")


class SessionPropagator(TextMapPropagator):
    """Requests -> session id and correlation id in the context. Listed after `tracecontext,baggage`.

    Ids travel on as W3C baggage, by the baggage propagator; this one injects nothing.
    """

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """The context with who is here in it. Never raises, whatever the carrier holds."""
        base = Context() if context is None else context
        if here.current(base) is not None or config.sdk_disabled():
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

    def header(name: str) -> str | None:
        values = getter.get(carrier, name)
        if not values:
            return None
        return "; ".join(map(str, values)) if name == "cookie" else str(values[0])

    is_dict = isinstance(carrier, dict)
    if is_dict and "REQUEST_METHOD" in carrier:
        peer, scheme, is_http = carrier.get("REMOTE_ADDR"), carrier.get("wsgi.url_scheme"), True
    elif is_dict and carrier.get("type") in _REQUEST_SCOPES:
        client = carrier.get("client")
        peer, scheme, is_http = (client[0] if client else ""), carrier.get("scheme"), True
    else:  # plain headers: only a request has a Host
        is_http = header("host") is not None
        peer, scheme = ("" if is_http else None), None
    over_tls = scheme in ("https", "wss") or (header("x-forwarded-proto") or "").lower() == "https"
    return propagation.Incoming(header, peer, carrier, over_tls, is_http)


class SessionResponsePropagator(ResponsePropagator):
    """The context -> X-Correlation-ID and, where it has to be written, our cookie."""

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = default_setter) -> None:
        """Add the headers; a response that a shared cache may keep gets no cookie. Never raises."""
        _inject(carrier, context, setter)


@guarded
def _inject(carrier: Any, context: Context | None, setter: Any) -> None:
    identity = here.current(context)
    if identity is None or config.sdk_disabled():
        return
    settings = config.active()
    cacheable = propagation.publicly_cacheable(
        carried_header(carrier, "cache-control"), carried_header(carrier, "expires")
    )
    for name, value in propagation.response_headers(identity, settings, cookie_allowed=not cacheable):
        if name == "Set-Cookie" or carried_header(carrier, name.lower()) is None:
            setter.set(carrier, name, value)


def carried_header(carrier: Any, name: str) -> str | None:
    """A response header's value, from WSGI's list of pairs, an ASGI message, or a mapping; None when absent."""
    pairs: Iterable[Any]
    if isinstance(carrier, Mapping) and "headers" in carrier:
        pairs = carrier["headers"] or ()
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
