"""Begin a request: who sent it, is it excluded, who makes the server span."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import SpanKind

from otel_session import attributes as names
from otel_session import context as here
from otel_session import propagation, propagators
from otel_session._guard import guarded, report
from otel_session.config import Config, HttpConfig
from otel_session.context import Identity
from otel_session.instrumentors._base import DropRule
from otel_session.instrumentors.flask.attributes import (
    LazyAttributes,
    method_of,
    protocol_version,
    request_attributes,
    span_name,
)
from otel_session.instrumentors.flask.request import ENVIRON_KEY, ServedRequest, current_span_is_local
from otel_session.instruments import Measured, Recorder
from otel_session.tallies import Metric

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
        self._arrived: dict[tuple[str, str], tuple[dict[str, Any], Recorder]] = {}
        self._measured: dict[tuple[Any, ...], Recorder] = {}

    def serve(
        self, environ: dict[str, Any], start_response: Callable[..., Any], inner: Callable[..., Any], *, span: bool
    ) -> Iterable[bytes]:
        """Call a WSGI application as one request.

        Args:
            environ: PEP 3333.
            start_response: PEP 3333.
            inner: The application.
            span: Whether the server span is ours; False when the official Flask instrumentation makes it.
        """
        request = None if ENVIRON_KEY in environ else self._begin(environ, span)
        if request is None:
            served: Iterable[bytes] = inner(environ, start_response)
            return served
        token = otel_context.attach(request.context if span else _without_remote_span(request.context))
        try:
            body = inner(environ, request.start_response(start_response))
        except BaseException as error:
            request.escaped(error)
            request.end()
            raise
        finally:
            otel_context.detach(token)
        return request.body(body)

    @guarded
    def _begin(self, environ: dict[str, Any], with_span: bool) -> ServedRequest:
        ambient = otel_context.get_current()
        nested = current_span_is_local(ambient)
        base = ambient if nested else _extracted(environ, ambient)
        found = here.current(base)
        identity = environ.get(propagators.IDENTITY_KEY) or found or self._identify(environ, base)
        environ[propagators.IDENTITY_KEY] = identity
        context = base if identity is found else here.put(identity, base, in_baggage=self.settings.baggage)
        inside, identity.answering = identity.answering, True
        excluded = self._is_excluded(environ)
        cookie_allowed = not (inside or excluded)
        if excluded or not with_span:
            context = here.quiet(context) if excluded else context
            request = ServedRequest(
                environ, context, identity, self.settings, self.http, None, _nothing, cookie_allowed=cookie_allowed
            )
        else:
            request = self._begin_span(environ, context, identity, nested, cookie_allowed)
        environ[ENVIRON_KEY] = request
        return request

    def _begin_span(
        self, environ: dict[str, Any], context: Context, identity: Identity, nested: bool, cookie_allowed: bool
    ) -> ServedRequest:
        span = self._rule.dropped(context) or self._tracer.start_span(
            span_name(environ, self.http),
            context,
            SpanKind.INTERNAL if nested else SpanKind.SERVER,
            attributes=LazyAttributes(
                lambda: {**request_attributes(environ, self.http), **identity.request_attributes()}
            ),
        )
        context = trace.set_span_in_context(span, context)
        on_end: Callable[[ServedRequest, float], None] = _nothing
        if not nested:  # else the server around us counts the request
            identity.changed = False
            on_end = self._count(environ, context)
        return ServedRequest(
            environ, context, identity, self.settings, self.http, span, on_end, cookie_allowed=cookie_allowed
        )

    def _known_at_start(self, environ: dict[str, Any], identity: Identity) -> dict[str, Any]:
        return {**request_attributes(environ, self.http), **identity.request_attributes()}

    def _count(self, environ: dict[str, Any], context: Context) -> Callable[[ServedRequest, float], None]:
        key = (method_of(environ, self.http), environ.get("wsgi.url_scheme", "http"))
        known = self._arrived.get(key)
        if known is None:
            counted = {names.HTTP_REQUEST_METHOD: key[0], names.URL_SCHEME: key[1]}
            known = counted, self._active.series(counted)
            if len(self._arrived) < _KEPT_MOST:
                self._arrived[key] = known
        counted, active = known
        active.add(1, context)

        def on_end(request: ServedRequest, seconds: float) -> None:
            active.add(-1, context)
            notable = seconds >= _SLOW_S or request.error_type is not None
            self._series(request, key, counted).add(seconds, request.context, notable=notable)

        return on_end

    def _series(self, request: ServedRequest, arrived: tuple[str, str], counted: dict[str, Any]) -> Recorder:
        version = protocol_version(request.environ)
        key = (arrived, version, request.status, request.route, request.error_type)
        found = self._measured.get(key)
        if found is None:
            found = self._duration.series(_measured(request, counted))
            if len(self._measured) < _KEPT_MOST:
                self._measured[key] = found
        return found

    def _identify(self, environ: dict[str, Any], base: Context) -> Identity:
        if "HTTP_COOKIE" in environ:
            known = propagation.identify_again(environ, self.settings, over_tls=propagators.came_over_tls(environ))
            if known is not None:
                return known
        return propagation.identify(propagators.incoming_of(environ, _getter), base, self.settings)

    def _is_excluded(self, environ: dict[str, Any]) -> bool:
        if self.http.excluded is None:
            return False
        host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
        path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"[:_MAX_SEARCHED_CHARS]
        quoted = quote(path, safe="/;=,", encoding="latin-1")
        url = f"{environ.get('wsgi.url_scheme', 'http')}://{host[:_MAX_SEARCHED_CHARS]}{quoted}"
        return self.http.excluded.search(url) is not None


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


def _nothing(_request: ServedRequest, _seconds: float) -> None:
    pass


def _without_remote_span(context: Context) -> Context:
    # The official instrumentation takes any current span, a remote one too, for a server's around it.
    return context if current_span_is_local(context) else trace.set_span_in_context(trace.INVALID_SPAN, context)


def _extracted(environ: dict[str, Any], ambient: Context) -> Context:
    # What a middleware around us put into the context stays; whoever is in it is not who sent this request.
    base = ambient if here.current(ambient) is None else here.without_identity(ambient)
    if not _carriers.can_extract(environ):
        return base
    try:
        return propagate.extract(environ, base, _getter)
    except Exception:  # another propagator's failure on a hostile header
        report("propagate.extract")
        return base


class _Carriers:
    """Knows which headers the global propagator reads: most requests have none of them."""

    def __init__(self) -> None:
        self._known: Any = None
        self._keys: tuple[str, ...] | None = None

    def can_extract(self, environ: dict[str, Any]) -> bool:
        textmap = propagate.get_global_textmap()
        if textmap is not self._known:
            self._keys, self._known = _keys_read_by(textmap), textmap
        return self._keys is None or any(key in environ for key in self._keys)


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
