"""Helper threads belong to the user whose request started them.

`threading.Thread`, `threading.Timer` and `ThreadPoolExecutor.submit` hand on the context of the one who calls. A
pool's own worker threads do not get one: they serve many users, and each work item brings its submitter's. A thread
that lives on carries the ids for the idle time of a session at most, so that a worker started lazily by the first
request does not count as that user's for ever. `OTEL_SESSION_THREADS=off` switches all of it off.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from opentelemetry import context as otel_context

from otel_session import config
from otel_session import context as here
from otel_session._guard import report
from otel_session.instrumentors._base import Instrumentor

# Threads of these packages serve everybody: pools, connections, log listeners, exporters.
_SHARED_PACKAGES = (
    "concurrent.futures",
    "logging",
    "multiprocessing",
    "opentelemetry",
    "otel_session",
    "apscheduler",
    "sqlalchemy",
    "aiosqlite",
    "redis",
    "kafka",
    "celery",
    "grpc",
    "urllib3",
    "sentry_sdk",
    "ddtrace",
    "socketserver",
    "werkzeug",
    "waitress",
    "cheroot",
    "anyio",
    "asgiref",
    "streamlit",
)
_SHARED = tuple(f"{package}." for package in _SHARED_PACKAGES)


class ThreadingInstrumentor(Instrumentor):
    """Carries the context into threads. Stands aside when the official threading instrumentation is active."""

    official_name = "threading"

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: it is the standard library."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        self._patched: list[tuple[type, str, Any, Any]] = []
        if not config.active().threads:
            return
        self._patch(threading.Thread, "start", _start)
        self._patch(ThreadPoolExecutor, "submit", _submit)

    def _patch(self, owner: type, name: str, make: Callable[[Any], Any]) -> None:
        original = owner.__dict__[name]
        ours = functools.wraps(original)(make(original))
        self._patched.append((owner, name, original, ours))
        setattr(owner, name, ours)

    def _uninstrument(self, **kwargs: Any) -> None:
        for owner, name, original, ours in self._patched:
            if owner.__dict__[name] is ours:
                setattr(owner, name, original)
        self._patched = []


def _start(original: Callable[..., Any]) -> Callable[..., Any]:
    def start(thread: Any) -> Any:
        put_back = None
        try:
            if here.current() is not None and not _serves_everybody(thread) and not _official_active():
                put_back = _carry(thread)
        except Exception:
            report("ThreadingInstrumentor.start")
        try:
            return original(thread)
        except BaseException:  # no more threads to be had: leave the object as it was
            if put_back is not None:
                put_back()
            raise

    return start


def _carry(thread: Any) -> Callable[[], None] | None:
    # Set on the thread itself, so that subclasses with a `run` of their own are covered.
    if thread.ident is not None:  # started before: `start` will refuse
        return None
    own, run, context = thread.__dict__.get("run"), thread.run, carried()

    def run_in_context() -> Any:
        _put_back(thread, own)
        token = otel_context.attach(context)
        try:
            return run()
        finally:
            otel_context.detach(token)

    thread.run = run_in_context
    return lambda: _put_back(thread, own)


def _put_back(thread: Any, own: Any) -> None:
    thread.__dict__.pop("run", None)
    if own is not None:
        thread.run = own


def _submit(original: Callable[..., Any]) -> Callable[..., Any]:
    def submit(executor: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        try:
            if here.current() is not None and not _official_active():
                function = in_context(function, carried())
        except Exception:
            report("ThreadingInstrumentor.submit")
        return original(executor, function, *args, **kwargs)

    return submit


def in_context(function: Callable[..., Any], context: otel_context.Context) -> Callable[..., Any]:
    """A function that runs in a context given."""

    @functools.wraps(function, updated=())
    def run(*args: Any, **kwargs: Any) -> Any:
        token = otel_context.attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            otel_context.detach(token)

    return run


def carried() -> otel_context.Context:
    """The current context, with an identity that counts for the idle time of a session at most."""
    context = otel_context.get_current()
    identity = here.current(context)
    if identity is None:
        return context
    settings = config.active()
    return here.put(identity.until(time.monotonic() + settings.idle_s), context, in_baggage=settings.baggage)


def _serves_everybody(thread: Any) -> bool:
    target: Any = getattr(thread, "_target", None)
    target = getattr(target, "func", target)  # functools.partial
    module = getattr(target, "__module__", None) or ""
    return f"{module}.".startswith(_SHARED) or f"{type(thread).__module__}.".startswith(_SHARED)


def _official_active() -> bool:
    module = sys.modules.get("opentelemetry.instrumentation.threading")
    instance = getattr(getattr(module, "ThreadingInstrumentor", None), "_instance", None)
    return bool(instance is not None and instance.is_instrumented_by_opentelemetry)
