"""Streamlit 1.57 to 1.67: a span for each rerun of a user's visit, with its cause and outcome (features G8, F4).

Streamlit is not imported here: its modules are changed when somebody imports them. Called in a script that runs
already, `otel_session.instrument()` covers every run after this one.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec
from typing import Any

from otel_session import config, kept_visits
from otel_session.instrumentors._base import Instrumentor

__all__ = ["StreamlitInstrumentor"]


class StreamlitInstrumentor(Instrumentor):
    """Records reruns of Streamlit scripts. Providers may be given as `tracer_provider` and `meter_provider`."""

    official_name = "streamlit"
    _hooks: Any = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """The Streamlit versions this works on."""
        return ("streamlit >= 1.57",)

    def _instrument(self, **kwargs: Any) -> None:
        # Start-up loads this module wherever we are installed.
        if find_spec("streamlit") is None:
            return
        from otel_session.instrumentors.streamlit.hooks import Hooks
        from otel_session.instrumentors.streamlit.imports import ImportWatch
        from otel_session.instrumentors.streamlit.page_cookie import PageCookie
        from otel_session.instrumentors.streamlit.reruns import Reruns

        self._cookie = PageCookie
        self._reruns = Reruns(config.active(), kwargs.get("tracer_provider"), kwargs.get("meter_provider"))
        self._cookie.settings = config.active()
        self._hooks = Hooks(self._reruns)
        self._watch = ImportWatch(self._hooks.by_module())
        self._watch.begin()

    def _uninstrument(self, **kwargs: Any) -> None:
        if self._hooks is None:
            return
        self._watch.remove()
        self._hooks.remove()
        self._reruns.stop()
        self._cookie.settings = None
        self._hooks = None
        kept_visits.forget_all()
