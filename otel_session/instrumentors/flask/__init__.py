"""Flask 2.3 to 3.1: the server span, from before the session is opened until the body is sent (features F4, G7).

`Flask.__call__` and `Flask.wsgi_app` are watched on the class: applications made before, and those imported as
`from flask import Flask` long ago, are covered. Where the official Flask instrumentation is active for an application,
it makes the server span and ours gives it the ids.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import flask
from flask.app import Flask

from otel_session import config
from otel_session._guard import report
from otel_session.config import HttpConfig
from otel_session.instrumentors._base import Instrumentor
from otel_session.instrumentors.flask import access_lines, known_later
from otel_session.instrumentors.flask.app_sessions import AppSessionWatcher
from otel_session.instrumentors.flask.build_display import init_build_line
from otel_session.instrumentors.flask.request import ENVIRON_KEY, ServedRequest
from otel_session.instrumentors.flask.server import Server

__all__ = ["FlaskInstrumentor", "init_build_line"]

_OFFICIAL_MARK = "_is_instrumented_by_opentelemetry"  # the official instrumentation sets it on each application


class FlaskInstrumentor(Instrumentor):
    """Records what Flask applications serve.

    `instrument()` covers every application of the process; `instrument(app=…)` the ones named only. Providers may be
    given as `tracer_provider` and `meter_provider`.
    """

    official_name = "flask"

    _everywhere = False

    def instrumentation_dependencies(self) -> Collection[str]:
        """The Flask versions this works on."""
        return ("flask >= 2.3",)

    def _instrument(self, **kwargs: Any) -> None:
        provider = kwargs.get("tracer_provider")
        self._server = Server(config.active(), HttpConfig.load(), provider, kwargs.get("meter_provider"))
        self._watcher = AppSessionWatcher(provider)
        self._apps: weakref.WeakSet[Any] = weakref.WeakSet()
        self._patched: list[tuple[str, Any, Any]] = []
        self._again(**kwargs)
        for name, make in (
            ("__call__", self._serving),
            ("wsgi_app", self._serving),
            ("full_dispatch_request", self._completing),
            ("handle_user_exception", self._noting),
        ):
            self._patch(name, make)
        with suppress(RuntimeError):  # Flask before 2.3 has no signals without blinker, and calls what we wrap first
            flask.got_request_exception.connect(_unhandled)
        access_lines.watch()

    def _again(self, **kwargs: Any) -> None:
        apps = [a for a in (kwargs.get("app"), *(kwargs.get("apps") or ())) if a is not None]
        self._apps.update(apps)
        self._everywhere = self._everywhere or not apps

    def _patch(self, name: str, make: Callable[[Any], Any]) -> None:
        original = Flask.__dict__[name]
        ours = functools.wraps(original)(make(original))
        self._patched.append((name, original, ours))
        setattr(Flask, name, ours)

    def _uninstrument(self, **kwargs: Any) -> None:
        for name, original, ours in self._patched:
            if Flask.__dict__[name] is ours:
                setattr(Flask, name, original)
        with suppress(RuntimeError):
            flask.got_request_exception.disconnect(_unhandled)
        access_lines.unwatch()
        self._watcher.remove()
        self._apps, self._everywhere = weakref.WeakSet(), False

    def _covers(self, app: Any) -> bool:
        return self._everywhere or app in self._apps

    def _serving(self, original: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        def serve(app: Any, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if not self._everywhere and app not in self._apps:
                return original(app, environ, start_response)
            official = getattr(app, _OFFICIAL_MARK, False)
            if not official and type(app.session_interface) not in self._watcher.met:
                self._meet(app)
            if ENVIRON_KEY in environ:  # `__call__` has seen it, or the application around this one
                return original(app, environ, start_response)
            return self._server.serve(environ, start_response, partial(original, app), span=not official)

        return serve

    def _meet(self, app: Any) -> None:
        try:
            self._watcher.meet(app.session_interface)
        except Exception:
            report("FlaskInstrumentor.session_interface")

    def _completing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        # Flask 3.2 hands the context in as an argument: whatever comes is passed on.
        def full_dispatch_request(app: Any, *args: Any, **kwargs: Any) -> Any:
            settings = self._server.settings
            user = settings.user
            if settings.source != "app" and (user == "off" or (user == "auto" and "flask_login" not in sys.modules)):
                return original(app, *args, **kwargs)  # there is nothing to look up: the common case
            if not self._covers(app):
                return original(app, *args, **kwargs)
            known_later.before(app, settings)
            try:
                return original(app, *args, **kwargs)
            finally:
                known_later.after(app, settings)

        return full_dispatch_request

    def _noting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def handle_user_exception(app: Any, *args: Any, **kwargs: Any) -> Any:
            _note(kwargs.get("e", args[-1] if args else None))
            return original(app, *args, **kwargs)

        return handle_user_exception


def _unhandled(_sender: Any, exception: BaseException | None = None, **_: Any) -> None:
    _note(exception)


def _note(error: Any) -> None:
    try:
        request = flask.request.environ.get(ENVIRON_KEY) if flask.has_request_context() else None
        if isinstance(request, ServedRequest) and isinstance(error, BaseException):
            request.failed(error)
    except Exception:
        report("FlaskInstrumentor.note")
