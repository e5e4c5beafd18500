"""Begin a rerun: who it belongs to, its span, its place in the metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind

from otel_session import attributes as names
from otel_session import context as here
from otel_session import instruments
from otel_session._guard import guarded, report
from otel_session.config import Config, HttpConfig
from otel_session.context import Identity, Work
from otel_session.instrumentors._base import DropRule
from otel_session.instrumentors.streamlit.causes import asked
from otel_session.instrumentors.streamlit.children import Children
from otel_session.instrumentors.streamlit.page_names import PageNames
from otel_session.instrumentors.streamlit.rerun import Rerun, running
from otel_session.instrumentors.streamlit.tabs import Tab, Tabs
from otel_session.instrumentors.streamlit.users import name_user
from otel_session.instrumentors.streamlit.visitors import Visitors, begin_another
from otel_session.instruments import Measured, Recorder
from otel_session.observed import Kind, Observed, Reading
from otel_session.tallies import Metric
from otel_session.wire.entries import EntryMaker
from otel_session.wire.parts import identity_parts
from otel_session.wire.short_way import ShortWay

SCOPE = "otel_session.streamlit"
_SLOW_S = 1.0
"""A rerun that takes longer is kept as an exemplar, and so is one that failed."""
_KEPT_MOST = 2_000
_DURATION = Metric(
    SCOPE,
    names.METRIC_RERUN_DURATION,
    "s",
    "Duration of runs of Streamlit scripts and fragments.",
    (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
_SESSIONS = Metric(
    SCOPE, names.METRIC_STREAMLIT_SESSIONS_ACTIVE, "{session}", "Sessions with a Streamlit page open in a browser."
)
_TABS = Metric(SCOPE, names.METRIC_STREAMLIT_TABS_ACTIVE, "{tab}", "Streamlit pages that are open in browsers.")


class Reruns:
    """Runs scripts of an instrumented Streamlit. One for the process; safe from any thread."""

    def __init__(self, settings: Config, tracer_provider: Any, meter_provider: Any) -> None:
        self.settings = settings
        self.exception_events = HttpConfig.load().exception_events
        self.tabs = Tabs()
        self.pages = PageNames()
        self.visitors = Visitors(settings)
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        self._rule = DropRule(self._tracer)
        self._entries = EntryMaker(ShortWay(self._tracer))
        self.children = Children(self._tracer, self._entries)
        self._duration = Measured(_DURATION, meter_provider)
        self._measured: dict[tuple[Any, ...], Recorder] = {}
        self._undo = [
            instruments.observe(Observed(_SESSIONS, Kind.LEVEL, self._sessions_active), meter_provider),
            instruments.observe(Observed(_TABS, Kind.LEVEL, self._tabs_active), meter_provider),
        ]

    def stop(self) -> None:
        """Have nothing read any more."""
        while self._undo:
            self._undo.pop()()

    def run(self, original: Callable[..., Any], code: Any, ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """Call Streamlit's `exec_func_with_error_handling` as one rerun."""
        try:
            rerun = self._begin(ctx)
        except Exception:
            report("Reruns.begin")
            return original(code, ctx, *args, **kwargs)
        token, inner = here.attach(rerun.context), running.set(rerun)
        try:
            name_user(rerun.identity, ctx, self.settings)
            result = original(code, ctx, *args, **kwargs)
            name_user(rerun.identity, ctx, self.settings)
        except BaseException as error:
            rerun.escaped(error)
            raise
        else:
            rerun.returned(result)
            return result
        finally:
            running.reset(inner)
            here.detach(token)
            rerun.end()

    @guarded
    def refuse(self, error: BaseException) -> None:
        """Tell of a script that could not be run, since it does not compile."""
        from streamlit.runtime.scriptrunner_utils.script_run_context import get_script_run_ctx

        rerun = self._begin(get_script_run_ctx())
        rerun.escaped(error)
        rerun.end()

    def _begin(self, ctx: Any) -> Rerun:
        ambient = here.get_current()
        tab = self.tabs.of(ctx.session_id)
        identity = self.visitors.of_rerun(tab, _client_of(ctx.session_id))
        identity.set_cookie, identity.answering = False, True
        tab.session_id = identity.session_id
        # Streamlit's threads have an empty context; where the official instrumentation of threads gives them the
        # websocket's, all of a user's reruns would be one endless trace. A rerun is a trace of its own.
        span = self._start_span(tab, identity, ambient)
        context = here.put(identity, Context(), in_baggage=self.settings.baggage, span=span)
        identity.changed = False
        rerun = Rerun(self, ctx, tab, asked.get(), identity, context, span)
        tab.previous = None
        if rerun.recording:
            identity.work = Work()
            # Now, not at its end: where a quick user's next run begins before, that one is linked to it.
            tab.previous = span.get_span_context()
        tab.runs += 1
        return rerun

    def _start_span(self, tab: Tab, identity: Identity, ambient: Context) -> Span:
        dropped = self._rule.dropped(Context())
        if dropped is not None:
            return dropped
        links = _links(tab, ambient)
        entry: Span | None = self._entries.start(
            names.SPAN_RERUN,
            SpanKind.SERVER,
            Context(),
            lambda: (tab.part, *identity_parts(identity)),
            identity.session_id,
            confirmed=identity.confirmed,
            links=links,
        )
        if entry is not None:
            return entry
        return self._tracer.start_span(
            names.SPAN_RERUN,
            here.put(identity, Context(), in_baggage=self.settings.baggage),
            SpanKind.SERVER,
            attributes={**tab.part.attributes, **identity.request_attributes()},
            links=links,
        )

    def ended(self, rerun: Rerun, seconds: float) -> None:
        """Count a rerun, and let its successors know of it."""
        begin_another(rerun.identity, rerun.tab.visit_id)
        known = (rerun.page, rerun.cause, rerun.outcome, rerun.error_type)
        series = self._measured.get(known)
        if series is None:
            series = self._duration.series(rerun.described())
            if len(self._measured) < _KEPT_MOST:
                self._measured[known] = series
        series.add(seconds, rerun.context, notable=seconds >= _SLOW_S or rerun.error_type is not None)

    def _connected(self) -> list[Tab]:
        return [tab for tab in self.tabs.all() if _client_of(tab.app_session_id) is not None]

    def _sessions_active(self) -> Iterable[Reading]:
        return [(len({tab.session_id for tab in self._connected()}), {})]

    def _tabs_active(self) -> Iterable[Reading]:
        return [(len(self._connected()), {})]


def _links(tab: Tab, ambient: Context) -> tuple[Link, ...]:
    """To the rerun before, and to the websocket's span where somebody made one."""
    around = here.span_in(ambient)
    contexts = [tab.previous, around.get_span_context() if around is not None else None]
    return tuple(Link(known) for known in contexts if known is not None and known.is_valid)


def _client_of(app_session_id: str) -> Any:
    from streamlit import runtime

    return runtime.get_instance().get_client(app_session_id) if runtime.exists() else None
