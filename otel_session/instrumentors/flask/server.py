"""Begin a request: who sent it, is it excluded, who makes the server span."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import Span, SpanKind

from otel_session import attributes as names
from otel_session import context as here
from otel_session import propagation, propagators
from otel_session._guard import report
from otel_session.config import Config, HttpConfig
from otel_session.context import Identity, Work
from otel_session.instrumentors._base import DropRule
from otel_session.instrumentors.flask.attributes import (
    LazyAttributes,
    protocol_version,
    request_attributes,
    span_name,
)
from otel_session.instrumentors.flask.body import Body, watched_file
from otel_session.instrumentors.flask.parts import RequestParts, identity_parts
from otel_session.instrumentors.flask.request import (
    ENVIRON_KEY,
    ERROR_FROM,
    Arrived,
    ServedRequest,
    current_span_is_local,
)
from otel_session.instruments import Measured, Recorder
from otel_session.tallies import Metric
from otel_session.wire.entries import EntryMaker
from otel_session.wire.short_way import ShortWay

SCOPE = "otel_session.flask"
_MAX_SEARCHED_CHARS = 8_192
_KEPT_MOST = 2_000
_SLOW_S = 0.5
"""A request that takes longer is kept as an exemplar, and so is one that failed."""
_DURATION = Metric(
    SCOPE,
    names.METRIC_HTTP_SERVER_REQUEST_DURATION,
    "s",
    "Duration of HTTP server requests.",
    (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),  # advised by semconv
)
_ACTIVE = Metric(SCOPE, names.METRIC_HTTP_SERVER_ACTIVE_REQUESTS, "{request}", "Number of active HTTP server requests.")


class Server:
    """Serves requests of instrumented applications. One for the process; safe from any thread."""

    def __init__(self, settings: Config, http: HttpConfig, tracer_provider: Any, meter_provider: Any) -> None:
        self.settings = settings
        self.http = http
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        self._rule = DropRule(self._tracer)
        self._duration = Measured(_DURATION, meter_provider)
        self._active = Measured(_ACTIVE, meter_provider)
        self._entries = EntryMaker(ShortWay(self._tracer))
        self.parts = RequestParts(http)
        self._arriving: dict[tuple[str, str], Arrived] = {}
        self._measured: dict[tuple[Any, ...], Recorder] = {}

    def serve(
        self, environ: dict[str, Any], start_response: Callable[..., Any], inner: Callable[..., Any], *, span: bool
    ) -> Iterable[bytes]:
        """Call a WSGI application as one request; a request inside of itself is passed on.

        Args:
            environ: PEP 3333.
            start_response: PEP 3333.
            inner: The application.
            span: Whether the server span is ours; False when the official Flask instrumentation makes it.
        """
        try:
            request = self._begin(environ, start_response, span)
        except Exception:
            report("Server.begin")
            request = None
        if request is None:
            served: Iterable[bytes] = inner(environ, start_response)
            return served
        token = here.attach(request.context if span else _without_remote_span(request.context))
        try:
            body = inner(environ, request.start_response)
        except BaseException as error:
            request.escaped(error)
            request.end()
            raise
        finally:
            here.detach(token)
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper):
            return watched_file(request, body)
        return Body(request, body)

    def _begin(
        self, environ: dict[str, Any], start_response: Callable[..., Any], with_span: bool
    ) -> ServedRequest | None:
        if ENVIRON_KEY in environ:
            return None
        ambient = here.get_current()
        nested = here.SPAN in ambient and current_span_is_local(ambient)
        base = ambient if nested else _extracted(environ, ambient)
        found = here.current(base) if here.KEY in base else None
        identity = environ.get(propagators.IDENTITY_KEY) or found or self._identify(environ, base)
        environ[propagators.IDENTITY_KEY] = identity
        inside, identity.answering = identity.answering, True
        excluded = self.http.excluded is not None and _is_excluded(environ, self.http.excluded)
        span = None
        if with_span and not excluded:
            span = self._rule.dropped(base) or self._start_span(environ, base, identity, nested)
        context = base
        if identity is not found or span is not None:
            context = here.put(identity, base, in_baggage=self.settings.baggage, span=span)
        if excluded:
            context = here.quiet(context)
        cookie_allowed = not (inside or excluded)
        request = ServedRequest(environ, start_response, context, identity, self, span, cookie_allowed=cookie_allowed)
        if span is not None and not nested:  # else the server around us counts the request
            identity.changed = False
            if request.recording:
                identity.work = Work()
            self._arrived(request)
        environ[ENVIRON_KEY] = request
        return request

    def _start_span(self, environ: dict[str, Any], base: Context, identity: Identity, nested: bool) -> Span:
        kind = SpanKind.INTERNAL if nested else SpanKind.SERVER
        entry: Span | None = self._entries.start(
            span_name(environ, self.http),
            kind,
            base,
            lambda: (*self.parts.of_request(environ), *identity_parts(identity)),
            identity.session_id,
            confirmed=identity.confirmed,
        )
        if entry is not None:
            return entry
        # Processors look into the context at the start of a span: the ids are in it by then.
        return self._tracer.start_span(
            span_name(environ, self.http),
            here.put(identity, base, in_baggage=self.settings.baggage),
            kind,
            attributes=LazyAttributes(
                lambda: {**request_attributes(environ, self.http), **identity.request_attributes()}
            ),
        )

    def _arrived(self, request: ServedRequest) -> None:
        environ = request.environ
        method = environ.get("REQUEST_METHOD", "")
        key = (method if method in self.http.known_methods else "_OTHER", environ.get("wsgi.url_scheme", "http"))
        known = self._arriving.get(key)
        if known is None:
            counted = {names.HTTP_REQUEST_METHOD: key[0], names.URL_SCHEME: key[1]}
            known = key, counted, self._active.series(counted)
            if len(self._arriving) < _KEPT_MOST:
                self._arriving[key] = known
        request.arrived = known
        known[2].add(1, request.context)

    def ended(self, request: ServedRequest, seconds: float) -> None:
        """Count a request that has been served."""
        if request.arrived is not None:
            key, counted, active = request.arrived
            active.add(-1, request.context)
            failed = request.error is not None or request.status >= ERROR_FROM
            error_type = request.error_type if failed else None
            kind = (key, request.environ.get("SERVER_PROTOCOL"), request.status, request.route, error_type)
            series = self._measured.get(kind)
            if series is None:
                series = self._duration.series(_measured(request, counted))
                if len(self._measured) < _KEPT_MOST:
                    self._measured[kind] = series
            series.add(seconds, request.context, notable=seconds >= _SLOW_S or error_type is not None)

    def _identify(self, environ: dict[str, Any], base: Context) -> Identity:
        if "HTTP_COOKIE" in environ:
            known = propagation.identify_again(environ, self.settings)
            if known is not None:
                if "HTTP_X_FORWARDED_PROTO" in environ or environ.get("wsgi.url_scheme") == "https":
                    known.over_tls = propagators.came_over_tls(environ)
                return known
        return propagation.identify(propagators.incoming_of(environ, _getter), base, self.settings)


def _is_excluded(environ: dict[str, Any], urls: re.Pattern[str]) -> bool:
    host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"[:_MAX_SEARCHED_CHARS]
    quoted = quote(path, safe="/;=,", encoding="latin-1")
    url = f"{environ.get('wsgi.url_scheme', 'http')}://{host[:_MAX_SEARCHED_CHARS]}{quoted}"
    return urls.search(url) is not None


def _measured(request: ServedRequest, counted: dict[str, Any]) -> dict[str, Any]:
    measured = dict(counted)
    if (version := protocol_version(request.environ)) is not None:
        measured[names.NETWORK_PROTOCOL_VERSION] = version
    if request.status:
        measured[names.HTTP_RESPONSE_STATUS_CODE] = request.status
    if (route := request.route) is not None:
        measured[names.HTTP_ROUTE] = route
    if (error_type := request.error_type) is not None:
        measured[names.ERROR_TYPE] = error_type
    return measured


def _without_remote_span(context: Context) -> Context:
    # The official instrumentation takes any current span, a remote one too, for a server's around it.
    return context if current_span_is_local(context) else trace.set_span_in_context(trace.INVALID_SPAN, context)


def _extracted(environ: dict[str, Any], ambient: Context) -> Context:
    # What a middleware around us put into the context stays; whoever is in it is not who sent this request.
    base = ambient if here.KEY not in ambient else here.without_identity(ambient)
    textmap = propagate.get_global_textmap()
    keys = _carriers.keys if textmap is _carriers.textmap else _carriers.learn(textmap)
    if keys is not None and not any(map(environ.__contains__, keys)):
        return base
    try:
        return propagate.extract(environ, base, _getter)
    except Exception:  # another propagator's failure on a hostile header
        report("propagate.extract")
        return base


class _Carriers:
    """Knows which headers the global propagator reads: most requests have none of them."""

    def __init__(self) -> None:
        self.textmap: Any = None
        self.keys: tuple[str, ...] | None = None

    def learn(self, textmap: Any) -> tuple[str, ...] | None:
        """The environ keys that the propagator reads; None when it does not say all."""
        keys = self.keys = _keys_read_by(textmap)
        self.textmap = textmap
        return keys


def _keys_read_by(textmap: Any) -> tuple[str, ...] | None:
    """The environ keys a propagator reads; None when it does not say all."""
    if isinstance(textmap, propagators.SessionPropagator):
        return ()
    inner = getattr(textmap, "_propagators", None)
    if type(textmap) is CompositePropagator and inner is not None:
        keys = [_keys_read_by(one) for one in inner]
        return None if None in keys else tuple(k for found in keys if found for k in found)
    fields = textmap.fields
    return tuple(propagators.environ_key(name) for name in fields) if fields else None


_carriers = _Carriers()


class _EnvironGetter:
    """Headers of a WSGI environ, for propagators."""

    def get(self, carrier: dict[str, Any], key: str) -> list[str] | None:
        value = carrier.get(propagators.environ_key(key))
        if value is None or (key == "baggage" and len(value) > propagation.MAX_BAGGAGE_CHARS):
            return None  # the baggage propagator would write all of it into the log
        return [value]

    def keys(self, carrier: dict[str, Any]) -> list[str]:
        return [key[5:].lower().replace("_", "-") for key in carrier if key.startswith("HTTP_")]


_getter: Any = _EnvironGetter()
