"""The application's own server-side session, loaded and saved inside the request's trace (feature G7, first half).

A `SessionInterface` that only signs a cookie does no I/O and gets no span. Of the loaded session nothing but whether
it is new and was modified is told: not its key, not its content.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from flask.sessions import SecureCookieSessionInterface
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from otel_session import attributes as names
from otel_session import failures
from otel_session._guard import report

_lock = threading.Lock()


class AppSessionWatcher:
    """Wraps `open_session` and `save_session` of the interface classes it meets; `met` has them all."""

    def __init__(self, tracer_provider: Any) -> None:
        self._tracer = trace.get_tracer("otel_session.flask", tracer_provider=tracer_provider)
        self.met: set[type] = set()
        self._patched: list[tuple[type, str, Any, Any]] = []

    def meet(self, interface: Any) -> None:
        """Wrap the interface's class, if it is not yet and does more than sign a cookie."""
        kind = type(interface)
        if kind in self.met:
            return
        with _lock:
            if kind in self.met:
                return
            self.met.add(kind)
            if kind.open_session is SecureCookieSessionInterface.open_session:
                return
            self._patch(kind, "open_session", names.SPAN_APP_SESSION_LOAD, _about_loaded)
            self._patch(kind, "save_session", names.SPAN_APP_SESSION_SAVE, _about_saved)

    def remove(self) -> None:
        """Put the classes' own methods back."""
        with _lock:
            for kind, name, own, ours in self._patched:
                if kind.__dict__.get(name) is not ours:
                    continue
                if own is None:
                    delattr(kind, name)
                else:
                    setattr(kind, name, own)
            self._patched.clear()
            self.met.clear()

    def _patch(self, kind: type, name: str, span_name: str, about: Callable[..., dict[str, Any]]) -> None:
        original = getattr(kind, name)
        if any(original is ours for *_, ours in self._patched):
            return  # inherited from a class met before

        @functools.wraps(original)
        def watched(interface: Any, *args: Any, **kwargs: Any) -> Any:
            if not trace.get_current_span().is_recording():
                return original(interface, *args, **kwargs)
            with self._tracer.start_as_current_span(
                span_name, record_exception=False, set_status_on_exception=False
            ) as span:
                try:
                    result = original(interface, *args, **kwargs)
                except Exception as error:
                    span.set_attribute(names.ERROR_TYPE, failures.type_name(error))
                    span.set_status(Status(StatusCode.ERROR))
                    raise
                _tell(span, interface, about, result, kwargs.get("session", args[1] if len(args) > 1 else None))
                return result

        self._patched.append((kind, name, kind.__dict__.get(name), watched))
        setattr(kind, name, watched)


def _tell(span: Any, interface: Any, about: Callable[..., dict[str, Any]], result: Any, session: Any) -> None:
    try:
        kind = type(interface)
        span.set_attributes({names.APP_SESSION_INTERFACE: kind.__qualname__, **about(result, session)})
    except Exception:
        report("AppSessionWatcher")


def _about_loaded(result: Any, _request: Any) -> dict[str, Any]:
    if result is None:
        return {}
    # Flask-Session's sessions do not say that they are new; then nothing is in them, or how long they are to last.
    empty = isinstance(result, dict) and not dict.keys(result) - {"_permanent"}
    return {names.APP_SESSION_NEW: empty or bool(getattr(result, "new", False))}


def _about_saved(_result: Any, session: Any) -> dict[str, Any]:
    return {names.APP_SESSION_MODIFIED: bool(getattr(session, "modified", True))}
