"""Who is here: the session, the correlation id and the user, in OpenTelemetry's context and in W3C baggage.

An `Identity` lives as long as one request, rerun or run. It is put into a context once; everything that inherits the
context (asyncio tasks, `copy_context`, helper threads) sees the same object.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span

from otel_session import attributes as names
from otel_session import config, ids
from otel_session.visits import Visit

KEY = otel_context.create_key("otel_session.identity")
"""The key of who is here."""
QUIET = otel_context.create_key("otel_session.quiet")
"""The key of a context in which our instrumentors make no spans."""
# The key that OpenTelemetry keeps baggage under, learned from its public functions.
_BAGGAGE = next(iter(baggage.set_baggage("key", "value", Context())))
SPAN = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))
"""The key that OpenTelemetry keeps the current span under."""


def _direct() -> tuple[Any, Any, Any]:
    # The API's functions are two calls around these, and they are asked a dozen times in a request.
    variable = getattr(getattr(otel_context, "_RUNTIME_CONTEXT", None), "_current_context", None)
    try:
        if isinstance(variable, ContextVar) and type(variable.get()) is Context:
            return variable.get, variable.set, variable.reset
    except LookupError:  # a runtime that asks with a default of its own
        pass
    return otel_context.get_current, otel_context.attach, otel_context.detach


get_current, attach, detach = _direct()
"""OpenTelemetry's own. What is attached is detached by the same function, in the same thread."""


class Work:
    """What was done in databases for one request; counts and, in nanoseconds, the drivers' time."""

    __slots__ = ("commits", "driver_ns", "orm_sessions", "recoveries", "rollbacks", "statements")

    def __init__(self) -> None:
        self.orm_sessions = self.statements = self.commits = self.rollbacks = self.recoveries = self.driver_ns = 0


class Identity:
    """One request's session, correlation id and user.

    Attributes:
        session_id: Public session id, or None while no session is known.
        previous_id: Id of the session this one continues after it expired.
        correlation_id: Id of this request.
        confirmed: Whether the client brought the session id back.
        attributes: What goes onto each span and log record; rebuilt when the user becomes known. Do not change it.
        visit: The browser's visit, when our own cookie is the source.
        set_cookie: Whether the response has to (re)write the cookie.
        ended: Whether `end_session()` was called: the response deletes the cookie.
        answering: Whether an instrumentor of ours adds the response's headers; the response propagator leaves it to
            it then, and so do requests served inside of this one.
        encoded: `attributes` as OTLP bytes for spans, kept here by whoever encodes them first; None until then.
        encoded_for_logs: The same for log records.
        in_log_lines: The same as log lines show it, kept by `logs`.
        changed: Whether session, correlation id or user became known, or other, after the request began.
        over_tls: Whether the request came over TLS: the cookie is Secure then.
        deadline: Until when it counts, as `time.monotonic()` says; None for ever.
        work: What was done in databases for it, None where nobody asks: only for requests whose span is recorded.
    """

    __slots__ = (
        "answering",
        "attributes",
        "changed",
        "confirmed",
        "correlation_id",
        "deadline",
        "encoded",
        "encoded_for_logs",
        "ended",
        "in_log_lines",
        "over_tls",
        "previous_id",
        "session_id",
        "set_cookie",
        "user",
        "visit",
        "work",
    )

    def __init__(
        self,
        session_id: str | None,
        correlation_id: str | None = None,
        *,
        previous_id: str | None = None,
        confirmed: bool = False,
        visit: Visit | None = None,
        set_cookie: bool = False,
    ) -> None:
        self.session_id = session_id
        self.correlation_id = correlation_id or ids.new_correlation_id()
        self.previous_id = previous_id
        self.confirmed = confirmed
        self.visit = visit
        self.set_cookie = set_cookie
        self.ended = False
        self.over_tls = False
        self.answering = False
        self.work: Work | None = None
        self.encoded: bytes | None
        self.encoded_for_logs: bytes | None
        self.in_log_lines: Any
        self.user: tuple[str, str] | None = None
        self.deadline: float | None = None
        self.attributes = {names.CORRELATION_ID: self.correlation_id}
        if session_id is not None:
            self.attributes[names.SESSION_ID] = session_id
        self.encoded = self.encoded_for_logs = self.in_log_lines = None
        self.changed = False

    def _rebuild(self) -> None:
        built = {names.CORRELATION_ID: self.correlation_id}
        if self.session_id is not None:
            built[names.SESSION_ID] = self.session_id
        if self.user is not None:
            built[self.user[0]] = self.user[1]
        self.attributes = built
        self.encoded = self.encoded_for_logs = self.in_log_lines = None
        self.changed = True

    def request_attributes(self) -> dict[str, str | bool]:
        """What goes onto the span of the request itself: beside the ids, what is said once for each request."""
        built: dict[str, str | bool] = dict(self.attributes)
        if self.confirmed and self.session_id is not None:
            built[names.SESSION_CONFIRMED] = True
        if self.previous_id is not None:
            built[names.SESSION_PREVIOUS_ID] = self.previous_id
        return built

    def set_session(self, session_id: str, *, confirmed: bool) -> None:
        """Give the identity its session, when the source is known only after the request began."""
        self.session_id, self.confirmed = session_id, confirmed
        self._rebuild()

    def set_correlation_id(self, correlation_id: str) -> None:
        """Replace the correlation id; the request's own span gets it, others that have started keep what they have."""
        self.correlation_id = correlation_id
        self._rebuild()

    def set_user(self, attribute: str, value: str) -> None:
        """Name the user by `user.hash` or, where that was asked for, `user.id`."""
        self.user = (attribute, value)
        self._rebuild()

    def until(self, deadline: float) -> Identity:
        """A copy that counts only until `deadline` (seconds of `time.monotonic()`), for helper threads."""
        twin = Identity(self.session_id, self.correlation_id, previous_id=self.previous_id, confirmed=self.confirmed)
        twin.user, twin.deadline = self.user, deadline
        twin._rebuild()
        return twin


def current(context: Context | None = None) -> Identity | None:
    """The identity in a context (the current one by default), or None. Costs about 0.1 µs."""
    identity: Identity | None = (get_current() if context is None else context).get(KEY)  # type: ignore[assignment]
    if identity is None:
        return None
    if identity.deadline is not None and time.monotonic() > identity.deadline:
        return None
    return identity


def put(
    identity: Identity, context: Context | None = None, *, in_baggage: bool = True, span: Span | None = None
) -> Context:
    """A context with the identity in it, and session and correlation id in its baggage unless told otherwise.

    Ids of either name that came in as baggage are replaced or removed, so that nobody else's travel on. A `span` is
    made current in it.
    """
    base = get_current() if context is None else context
    carried = dict(baggage.get_all(base)) if _BAGGAGE in base else {}
    for name, value in ((names.SESSION_ID, identity.session_id), (names.CORRELATION_ID, identity.correlation_id)):
        if in_baggage and value is not None:
            carried[name] = value
        else:
            carried.pop(name, None)
    # One copy of the context where `set_value` and `set_baggage` would make three.
    built = {**base, KEY: identity}
    if carried or _BAGGAGE in base:
        built[_BAGGAGE] = carried
    if span is not None:
        built[SPAN] = span
    return Context(built)


def without_identity(context: Context | None = None) -> Context:
    """The same context with nobody in it."""
    return otel_context.set_value(KEY, None, context)


def quiet(context: Context | None = None) -> Context:
    """A context in which our instrumentors make no spans (requests excluded by their URL)."""
    return otel_context.set_value(QUIET, True, context)


def is_quiet(context: Context | None = None) -> bool:
    """Whether our instrumentors are to make no spans here."""
    return (get_current() if context is None else context).get(QUIET) is not None


def span_in(context: Context) -> Span | None:
    """The span that a context has, None where it has none: `trace.get_current_span` without its calls."""
    return context.get(SPAN)  # type: ignore[return-value]  # only the API writes this key


def sends_baggage() -> bool:
    """Whether ids are sent on as W3C baggage."""
    # Nothing is read from the environment here: a wrong variable must not raise in the middle of a request.
    return not config.is_active() or config.active().baggage


def current_session() -> str | None:
    """The current session's id, or None when no session is known here."""
    identity = current()
    return identity.session_id if identity else None


def get_correlation_id() -> str | None:
    """The current correlation id, or None outside of a request, rerun or run."""
    identity = current()
    return identity.correlation_id if identity else None


def set_correlation_id(correlation_id: str) -> None:
    """Use this correlation id from here on.

    Inside a request it replaces the request's id, in its response too; elsewhere it is kept in the current context
    until the context ends.

    Raises:
        ValueError: The id has more than 128 characters or others than letters, digits and `._:@+=/~-`.
    """
    if not ids.is_valid_id(correlation_id):
        raise ValueError(
            f"The correlation id {correlation_id[:40]!r} cannot be used; "
            "expected 1 to 128 letters, digits or ._:@+=/~- and a letter or digit first."
        )
    identity = current()
    if identity is None:
        identity = Identity(None, correlation_id)
    else:
        identity.set_correlation_id(correlation_id)
    otel_context.attach(put(identity, in_baggage=sends_baggage()))


def new_correlation_id() -> str:
    """Make a new correlation id and use it from here on."""
    made = ids.new_correlation_id()
    set_correlation_id(made)
    return made


def ensure_correlation_id() -> str:
    """The current correlation id; a new one where there is none yet."""
    return get_correlation_id() or new_correlation_id()


@contextmanager
def bound_session(session_id: str, *, correlation_id: str | None = None) -> Iterator[Identity]:
    """Run a block as part of a session, for work that no request started.

    Raises:
        ValueError: The id has more than 128 characters or others than letters, digits and `._:@+=/~-`.
    """
    if not ids.is_valid_id(session_id):
        raise ValueError(f"The session id {session_id[:40]!r} cannot be used; expected 1 to 128 letters or digits.")
    identity = Identity(session_id, correlation_id, confirmed=True)
    token = otel_context.attach(put(identity, in_baggage=sends_baggage()))
    try:
        yield identity
    finally:
        otel_context.detach(token)
