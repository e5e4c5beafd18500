"""What is replaced in which of Streamlit's modules, as each of them is imported. Streamlit 1.57 to 1.67."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

from otel_session import _heap
from otel_session._guard import guarded, report
from otel_session.instrumentors._base import Patches
from otel_session.instrumentors.streamlit.causes import OVERTAKEN, Asked, asked
from otel_session.instrumentors.streamlit.children import of_callback, of_miss
from otel_session.instrumentors.streamlit.frames import hide_own, unseen, unseen_async
from otel_session.instrumentors.streamlit.page_cookie import PageCookie
from otel_session.instrumentors.streamlit.rerun import running
from otel_session.instrumentors.streamlit.reruns import Reruns
from otel_session.instrumentors.streamlit.versions import is_supported

_log = logging.getLogger("otel_session")
_RUNTIME = "streamlit.runtime"
# What shows an uncaught exception to the user: the newer name first.
_HANDLERS = ("handle_user_script_exception", "handle_uncaught_app_exception")


class Hooks:
    """The replacements of one `instrument()`."""

    def __init__(self, reruns: Reruns) -> None:
        self._reruns = reruns
        self._patches = Patches()

    def by_module(self) -> dict[str, Callable[[ModuleType], None]]:
        """What to do with each module once it is there."""
        hooks = {
            f"{_RUNTIME}.scriptrunner.script_runner": self._script_runner,
            f"{_RUNTIME}.scriptrunner.script_cache": self._script_cache,
            f"{_RUNTIME}.scriptrunner.exec_code": self._error_handler,
            f"{_RUNTIME}.fragment": self._error_handler,
            "streamlit.elements.exception": self._shown,
            f"{_RUNTIME}.state.session_state": self._session_state,
            f"{_RUNTIME}.caching.cache_utils": self._caches,
            f"{_RUNTIME}.app_session": self._app_session,
            "streamlit.web.server.starlette.starlette_app": self._server,
        }
        return {name: _if_supported(hook) for name, hook in hooks.items()}

    def remove(self) -> None:
        """Put everything back."""
        self._patches.remove()

    def _script_runner(self, module: Any) -> None:
        run = self._reruns.run
        self._patches.wrap(module, "exec_func_with_error_handling", lambda original: functools.partial(run, original))
        self._patches.wrap(module.ScriptRunner, "_run_script", _asking)

    def _script_cache(self, module: Any) -> None:
        reruns = self._reruns

        def telling(original: Any) -> Any:
            def get_bytecode(cache: Any, path: str) -> Any:
                try:
                    return original(cache, path)
                except Exception as error:
                    if running.get() is None and asked.get() is not None:  # else it is a page, inside of a run
                        reruns.refuse(error)
                    raise

            return get_bytecode

        self._patches.wrap(module.ScriptCache, "get_bytecode", telling)

    def _error_handler(self, module: Any) -> None:
        for name in _HANDLERS:
            self._patches.wrap(module, name, _noting_error)

    def _shown(self, module: Any) -> None:
        # What a page shows of an error comes through here: of `st.exception`, and of a script that does not compile.
        self._patches.wrap(module, "marshall", _hiding)

    def _session_state(self, module: Any) -> None:
        children = self._reruns.children

        def in_span(original: Any) -> Any:
            @unseen
            def call_callback(states: Any, widget_id: str) -> Any:
                metadata = states.widget_metadata.get(widget_id)
                function = getattr(metadata, "callback", None)
                if function is None:
                    return original(states, widget_id)
                return children.call(lambda: of_callback(function, widget_id), lambda: original(states, widget_id))

            return call_callback

        self._patches.wrap(module.SessionState, "_widget_changed", _noting_change)
        self._patches.wrap(module.WStates, "call_callback", in_span)
        self._patches.wrap(module.SessionState, "_execute_widget_callback", self._several_callbacks)

    def _several_callbacks(self, original: Any) -> Any:
        # Components with several callbacks; the arguments' number differs between versions, their order does not.
        children = self._reruns.children

        @unseen
        @functools.wraps(original)
        def execute(state: Any, *args: Any, **kwargs: Any) -> Any:
            function = next((found for found in args if callable(found)), None)
            metadata = kwargs.get("cb_metadata") or next((f for f in args if hasattr(f, "deserializer")), None)
            if function is None:
                return original(state, *args, **kwargs)
            return children.call(
                lambda: of_callback(function, getattr(metadata, "id", None)),
                lambda: original(state, *args, **kwargs),
            )

        return execute

    def _caches(self, module: Any) -> None:
        children = self._reruns.children

        def in_span(original: Any) -> Any:
            @unseen
            def miss(cached: Any, cache: Any, key: str, args: Any, kwargs: Any) -> Any:
                return children.call(
                    lambda: of_miss(cached._info, args), lambda: original(cached, cache, key, args, kwargs)
                )

            return miss

        def in_span_async(original: Any) -> Any:
            @unseen_async
            async def miss(cached: Any, cache: Any, key: str, args: Any, kwargs: Any) -> Any:
                return await children.wait(
                    lambda: of_miss(cached._info, args), lambda: original(cached, cache, key, args, kwargs)
                )

            return miss

        for owner in vars(module).values():
            if isinstance(owner, type) and "_handle_cache_miss" in vars(owner):
                self._patches.wrap(owner, "_handle_cache_miss", in_span)
            if isinstance(owner, type) and "_handle_cache_miss_async" in vars(owner):
                self._patches.wrap(owner, "_handle_cache_miss_async", in_span_async)

    def _app_session(self, module: Any) -> None:
        tabs = self._reruns.tabs

        def closing(original: Any) -> Any:
            def shutdown(session: Any, *args: Any, **kwargs: Any) -> Any:
                tabs.close(getattr(session, "id", ""))  # none, if its own start failed
                return original(session, *args, **kwargs)

            return shutdown

        self._patches.wrap(module.AppSession, "shutdown", closing)
        self._patches.wrap(module.AppSession, "request_rerun", _overtaking)

    def _server(self, module: Any) -> None:
        def with_cookie(original: Any) -> Any:
            def create_streamlit_middleware(*args: Any, **kwargs: Any) -> Any:
                from starlette.middleware import Middleware

                made: Any = original(*args, **kwargs)
                return [Middleware(PageCookie), *made]

            return create_streamlit_middleware

        self._patches.wrap(module, "create_streamlit_middleware", with_cookie)
        self._patches.wrap(module, "create_starlette_app", _freezing)


def _if_supported(hook: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    return lambda module: hook(module) if is_supported() else None


def _freezing(original: Any) -> Any:
    # `streamlit run` has loaded its server and no script yet. After each run Streamlit makes a full collection, which
    # would go through all that: what we loaded, and five times as much of its own.
    def create_starlette_app(*args: Any, **kwargs: Any) -> Any:
        try:
            _heap.set_aside_more()
        except Exception:
            report("streamlit.create_starlette_app")
        return original(*args, **kwargs)

    return create_starlette_app


def _asking(original: Any) -> Any:
    @unseen
    def run_script(runner: Any, rerun_data: Any, *args: Any, **kwargs: Any) -> Any:
        token = asked.set(Asked(rerun_data, runner))
        try:
            return original(runner, rerun_data, *args, **kwargs)
        finally:
            asked.reset(token)

    return run_script


def _overtaking(original: Any) -> Any:
    """Mark a run that has to make room: it is told to stop, as by `st.stop()` or the user."""

    def request_rerun(session: Any, *args: Any, **kwargs: Any) -> Any:
        runner = getattr(session, "_scriptrunner", None)
        _mark(runner, True)  # before it is told, which it may notice at once
        try:
            return original(session, *args, **kwargs)
        finally:
            if getattr(session, "_scriptrunner", None) is runner:  # it goes on, and runs the next one itself
                _mark(runner, False)

    return request_rerun


@guarded
def _mark(runner: Any, overtaken: bool) -> None:
    if runner is not None:
        setattr(runner, OVERTAKEN, overtaken)


def _noting_error(original: Any) -> Any:
    def handle(error: BaseException, *args: Any, **kwargs: Any) -> Any:
        rerun = running.get()
        if rerun is not None:
            rerun.failed(error)
        hide_own(error)
        return original(error, *args, **kwargs)

    return handle


def _hiding(original: Any) -> Any:
    def marshall(exception_proto: Any, exception: BaseException, *args: Any, **kwargs: Any) -> None:
        hide_own(exception)
        original(exception_proto, exception, *args, **kwargs)

    return marshall


def _noting_change(original: Any) -> Any:
    def widget_changed(state: Any, widget_id: str) -> Any:
        changed = original(state, widget_id)
        if changed:
            try:
                rerun = running.get()
                if rerun is not None:
                    rerun.changed(widget_id)
            except Exception:
                report("streamlit.widget_changed")
        return changed

    return widget_changed
