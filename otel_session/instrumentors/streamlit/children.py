"""Spans inside of a rerun: callbacks, values that no cache had, connections made anew.

They are there where the rerun's own span is recorded. A failure turns them red; the exception itself is told once, on
the rerun's span. What Streamlit raises to end or repeat a run is no failure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from otel_session import attributes as names
from otel_session import context as here
from otel_session import failures
from otel_session._guard import report
from otel_session.instrumentors.streamlit.causes import widget_key
from otel_session.wire.entries import EntryMaker, Part
from otel_session.wire.parts import IdsPart

_MAX_NAME_CHARS = 256
_CONNECTIONS = "streamlit.runtime.connection_factory"
Described = tuple[str, dict[str, Any]]
"""A span's name and attributes."""


class Children:
    """Makes such spans with one tracer."""

    def __init__(self, tracer: Any, entries: EntryMaker) -> None:
        self._tracer, self._entries = tracer, entries

    def call(self, describe: Callable[[], Described], function: Callable[[], Any]) -> Any:
        """Call a function inside of a span, when there is a recorded one around it."""
        span, context = self._begin(describe)
        if span is None or context is None:
            return function()
        token = here.attach(context)
        try:
            return function()
        except BaseException as error:
            _note(span, error)
            raise
        finally:
            here.detach(token)
            span.end()

    async def wait(self, describe: Callable[[], Described], function: Callable[[], Awaitable[Any]]) -> Any:
        """The same for a coroutine function."""
        span, context = self._begin(describe)
        if span is None or context is None:
            return await function()
        token = here.attach(context)
        try:
            return await function()
        except BaseException as error:
            _note(span, error)
            raise
        finally:
            here.detach(token)
            span.end()

    def _begin(self, describe: Callable[[], Described]) -> tuple[Span | None, Context | None]:
        try:
            around = here.get_current()
            parent = here.span_in(around)
            if parent is None or not parent.is_recording() or here.is_quiet(around):
                return None, None
            name, attributes = describe()
            span = self._start(name, attributes, around)
            return span, Context({**around, here.SPAN: span})
        except Exception:
            report("streamlit.Children.begin")
            return None, None

    def _start(self, name: str, attributes: dict[str, Any], around: Context) -> Span:
        identity = here.current(around)

        def parts() -> tuple[Part, ...]:
            own = Part(attributes)
            return (own,) if identity is None else (own, IdsPart(identity))

        session_id = None if identity is None else identity.session_id
        entry: Span | None = self._entries.start(name, SpanKind.INTERNAL, around, parts, session_id, confirmed=False)
        return (
            self._tracer.start_span(name, around, SpanKind.INTERNAL, attributes=attributes) if entry is None else entry
        )


def _note(span: Span, error: BaseException) -> None:
    try:
        if not _is_control(error):
            span.set_attribute(names.ERROR_TYPE, failures.type_name(error))
            span.set_status(Status(StatusCode.ERROR))
    except Exception:
        report("streamlit.Children.note")


def _is_control(error: BaseException) -> bool:
    from streamlit.runtime.scriptrunner_utils.exceptions import RerunException, StopException

    return isinstance(error, RerunException | StopException)


def of_callback(function: Any, widget_id: str | None) -> Described:
    """A widget's callback."""
    about: dict[str, Any] = {names.CODE_FUNCTION_NAME: _name_of(function)}
    if widget_id is not None:
        about[names.WIDGET_KEY] = widget_key(widget_id)
    return names.SPAN_CALLBACK, about


def of_miss(info: Any, arguments: tuple[Any, ...]) -> Described:
    """A value that had to be worked out; `st.connection` keeps its connections in such a cache, too."""
    function = info.func
    if function.__module__ == _CONNECTIONS and len(arguments) == 2:
        name, kind = arguments
        return names.SPAN_CONNECTION, {
            names.CONNECTION_NAME: str(name)[:_MAX_NAME_CHARS],
            names.CONNECTION_CLASS: f"{kind.__module__}.{kind.__qualname__}"[:_MAX_NAME_CHARS],
        }
    kind = str(getattr(info.cache_type, "name", info.cache_type)).lower()
    return names.SPAN_CACHE_MISS, {names.CODE_FUNCTION_NAME: _name_of(function), names.CACHE_KIND: kind}


def _name_of(function: Any) -> str:
    function = getattr(function, "func", function)  # functools.partial
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', None) or type(function).__module__}.{name}"[:_MAX_NAME_CHARS]
