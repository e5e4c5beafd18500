"""The development server's access lines belong to the request they tell of.

Werkzeug writes them between two steps of the body, outside of the request's context.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from opentelemetry import context as otel_context
from werkzeug.serving import WSGIRequestHandler

from otel_session._guard import report
from otel_session.instrumentors.flask.request import CONTEXT_KEY, ENVIRON_KEY

_undo: list[Callable[[], None]] = []


def watch() -> None:
    """Put the request's context around `WSGIRequestHandler.log_request`."""
    original = WSGIRequestHandler.__dict__["log_request"]

    @functools.wraps(original)
    def log_request(handler: Any, *args: Any, **kwargs: Any) -> Any:
        context = _context_of(handler)
        if context is None:
            return original(handler, *args, **kwargs)
        token = otel_context.attach(context)
        try:
            return original(handler, *args, **kwargs)
        finally:
            otel_context.detach(token)

    def remove() -> None:
        if WSGIRequestHandler.__dict__["log_request"] is log_request:
            setattr(WSGIRequestHandler, "log_request", original)  # noqa: B010

    setattr(WSGIRequestHandler, "log_request", log_request)  # noqa: B010 - its type says less than it takes
    _undo.append(remove)


def unwatch() -> None:
    """Put the handler's own method back."""
    while _undo:
        _undo.pop()()


def _context_of(handler: Any) -> otel_context.Context | None:
    try:
        environ = getattr(handler, "environ", None) or {}
        request = environ.get(ENVIRON_KEY)
        found = environ.get(CONTEXT_KEY) if request is None else request.context
        return found if isinstance(found, otel_context.Context) else None
    except Exception:
        report("access_lines")
        return None
