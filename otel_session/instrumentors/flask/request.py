"""One request on its way: its span, its response's headers, its end."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol, TypeAlias

from flask import current_app
from opentelemetry import context as otel_context
from opentelemetry.instrumentation.propagators import get_global_response_propagator
from opentelemetry.trace import Span, Status, StatusCode

from otel_session import attributes as names
from otel_session import context as here
from otel_session import failures, propagation
from otel_session._guard import apart, report
from otel_session.config import Config, HttpConfig
from otel_session.context import Identity
from otel_session.instrumentors.flask.attributes import (
    request_attributes,
    response_header_attributes,
    span_name,
)
from otel_session.instrumentors.flask.parts import Part, RequestParts, identity_parts, work_attributes
from otel_session.instruments import Recorder
from otel_session.propagators import BothResponsePropagators, SessionResponsePropagator
from otel_session.wire.entries import Dropped, EntrySpan

ENVIRON_KEY = "otel_session.request"
"""Where the environ keeps the request, so that an application inside an application makes no second span."""
CONTEXT_KEY = "otel_session.context"
"""Where it keeps the request's context after the request has ended, for what the server still says of it."""

ERROR_FROM = 500
"""A status from here on is an error of the server's."""
_NOT_MODIFIED = 304
_MAX_NAME_CHARS = 256
_PROXY_FIX = "werkzeug.proxy_fix.orig"


_CORRELATION_HEADER = propagation.CORRELATION_HEADER.lower()


Arrived: TypeAlias = tuple[tuple[str, str], dict[str, Any], Recorder]
"""What is counted of a request when it arrives: a key, the attributes, and the series of active requests."""


class Serving(Protocol):
    """What a request asks of the server that serves it."""

    settings: Config
    http: HttpConfig
    parts: RequestParts

    def ended(self, request: ServedRequest, seconds: float) -> None:
        """Count a request that has been served."""


class ServedRequest:
    """What we hold while one request is served. Ends once, whoever notices the end first.

    Attributes:
        route: The rule that matched, with the root the application is mounted at, such as `/deals/<int:deal_id>`;
            None when none did, or before it is known.
        status: HTTP status code, 0 while there is none.
        error: The last exception that a handler or the server saw, whether or not it made the request fail.
        content_length: What the response announced, in bytes, or None.
        recording: Whether its span is recorded.
        arrived: What was counted when it arrived, None for a request that is not counted.
        ended: Whether its end was seen.
    """

    def __init__(
        self,
        environ: dict[str, Any],
        start_response: Callable[..., Any],
        context: otel_context.Context,
        identity: Identity,
        server: Serving,
        span: Span | None,
        *,
        cookie_allowed: bool = True,
    ) -> None:
        self.environ = environ
        self._start_response = start_response
        self.context = context
        self.identity = identity
        self.span = span
        self.status = 0
        self.route: str | None = None
        self.error: BaseException | None = None
        self.content_length: int | None = None
        self.arrived: Arrived | None = None
        self.recording = span is not None and type(span) is not Dropped and span.is_recording()
        self._server = server
        self._cookie_allowed = cookie_allowed
        self._headers: list[tuple[str, str]] = []
        self._started = perf_counter()
        self._endpoint = ""
        self._view: str | None = None
        self._escaped = False
        self.ended = False

    def _look_at_route(self) -> None:
        # Flask empties `werkzeug.request` when it is done, so this is asked while it still answers.
        request = self.environ.get("werkzeug.request")
        if request is not None:
            rule = getattr(request, "url_rule", None)  # any Werkzeug request, Flask's or not
            if rule is not None:
                root = request.environ.get("SCRIPT_NAME")
                self.route = f"{root.rstrip('/')}{rule.rule}" if root else rule.rule
                self._endpoint = rule.endpoint
                if self.recording:
                    self._view = _name_of_view(rule.endpoint)

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """The server's `start_response`, with our headers (PEP 3333)."""
        try:
            ours = self._answer(status, headers)
        except Exception:
            report("ServedRequest.answer")
            ours = headers
        answer = self._start_response
        return answer(status, ours) if exc_info is None else answer(status, ours, exc_info)

    def _answer(self, status: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        self.status = int(status[:3])
        self._look_at_route()
        answered = list(headers)
        told = False
        for name, value in headers:
            lower = name.lower()
            if lower == "content-length":
                self.content_length = int(value) if value.isdecimal() else None
            elif lower == _CORRELATION_HEADER:
                told = True
        if not told:
            answered.append((propagation.CORRELATION_HEADER, self.identity.correlation_id))
        if self.identity.set_cookie:
            self._add_cookie(answered, self._may_set_cookie({name.lower(): value for name, value in headers}))
        propagator = get_global_response_propagator()  # type: ignore[no-untyped-call]
        if propagator is not None and type(propagator) is not SessionResponsePropagator:
            self._ask_another(propagator, answered)
        if self._server.http.response_headers is not None:
            self._headers = answered
        return answered

    def _add_cookie(self, headers: list[tuple[str, str]], allowed: bool) -> None:
        for name, value in propagation.response_headers(self.identity, self._server.settings, cookie_allowed=allowed):
            if name == "Set-Cookie":
                headers.append((name, value))

    def _may_set_cookie(self, present: dict[str, str]) -> bool:
        if not self._cookie_allowed or self.status == _NOT_MODIFIED:
            return False
        if self._endpoint == "static" or self._endpoint.endswith(".static"):
            return False
        return not propagation.publicly_cacheable(
            present.get("cache-control"), present.get("expires"), present.get("last-modified")
        )

    def _ask_another(self, propagator: Any, headers: list[tuple[str, str]]) -> None:
        if isinstance(propagator, BothResponsePropagators):
            propagator = propagator.first
        if propagator is None or isinstance(propagator, SessionResponsePropagator) or self.span is None:
            return
        try:
            propagator.inject(headers, context=self.context, setter=_list_setter)
        except Exception:
            report("another response propagator")

    def failed(self, error: BaseException) -> None:
        """Note an exception; whether it makes the request an error is known when the status is."""
        self.error = error
        self._look_at_route()

    def escaped(self, error: BaseException) -> None:
        """Note an exception that reached the server: an error whatever the status, unless it only ends the worker."""
        self.error = error
        self._escaped = isinstance(error, Exception) or not self.status

    def end(self) -> None:
        """The body has been sent, or its client has gone."""
        if self.ended:
            return
        self.ended = True
        self.environ.pop(ENVIRON_KEY, None)
        self.environ[CONTEXT_KEY] = self.context
        try:
            self._server.ended(self, perf_counter() - self._started)
            span = self.span
            if span is not None and type(span) is not Dropped:
                if span.is_recording():
                    self._describe(span)
                span.end()
        except Exception:
            report("ServedRequest.end")
        finally:
            self.error = None  # its traceback holds the application's frames, and they this

    def lost(self) -> None:
        """The body was collected, whether or not it was read and closed before."""
        if not self.ended:
            apart(self.end)

    @property
    def error_type(self) -> str | None:
        """`error.type`: the exception that escaped or led to a 5xx answer, else such a status itself."""
        if self.error is not None and (self._escaped or self.status >= ERROR_FROM):
            return failures.type_name(self.error)
        return str(self.status) if self.status >= ERROR_FROM else None

    def _describe(self, span: Span) -> None:
        http = self._server.http
        # With a proxy fix the application has said which proxies' words it believes.
        if self.identity.changed or _PROXY_FIX in self.environ:
            self._describe_again(span)
        if self._headers and (told := response_header_attributes(self._headers, http)):
            span.set_attributes(told)
        if self.route is not None:
            span.update_name(f"{span_name(self.environ, http)} {self.route}")
        error_type = self.error_type if self.error is not None or self.status >= ERROR_FROM else None
        answer = self._server.parts.of_answer(self.status, self.route, self._view, error_type)
        work = self.identity.work
        done = work_attributes(work) if work is not None else {}
        if type(span) is EntrySpan:
            span.tell(answer)
            if done:
                span.tell(Part(done))
        else:
            span.set_attributes({**answer.attributes, **done})
        if error_type is not None:
            self._tell_error(span)

    def _describe_again(self, span: Span) -> None:
        identity, http = self.identity, self._server.http
        if type(span) is EntrySpan:
            parts = (*self._server.parts.of_request(self.environ), *identity_parts(identity))
            span.retell(parts, identity.session_id, confirmed=identity.confirmed)
        else:
            span.set_attributes({**request_attributes(self.environ, http), **identity.request_attributes()})

    def _tell_error(self, span: Span) -> None:
        if self.error is None:
            span.set_status(Status(StatusCode.ERROR))
            return
        message = failures.message(self.error)
        span.set_status(Status(StatusCode.ERROR, message))
        if self._server.http.exception_events:
            span.add_event(
                names.EVENT_EXCEPTION,
                {
                    names.EXCEPTION_TYPE: failures.type_name(self.error),
                    names.EXCEPTION_MESSAGE: message,
                    names.EXCEPTION_STACKTRACE: failures.stacktrace(self.error),
                },
            )


def _name_of_view(endpoint: str) -> str | None:
    """Where the code of a page is: `shop.views.show_deal`; None outside of an application."""
    try:
        view: Any = current_app.view_functions.get(endpoint)
        view = getattr(view, "view_class", view)
        return f"{view.__module__}.{view.__qualname__}"[:_MAX_NAME_CHARS]
    except (RuntimeError, AttributeError):
        return None


class _ListSetter:
    """Appends to WSGI's list of headers."""

    def set(self, carrier: list[tuple[str, str]], key: str, value: str) -> None:
        carrier.append((key, value))


_list_setter: Any = _ListSetter()


def current_span_is_local(context: otel_context.Context | None = None) -> bool:
    """Whether a span of this process is current: then a request is served inside of another server's span."""
    span = here.span_in(here.get_current() if context is None else context)
    if span is None:
        return False
    known = span.get_span_context()
    return known.is_valid and not known.is_remote
