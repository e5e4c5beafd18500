"""One rerun on its way: what changed, what failed, how it ended."""

from __future__ import annotations

from contextvars import ContextVar
from time import perf_counter
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode

from otel_session import attributes as names
from otel_session import failures
from otel_session._guard import guarded, report
from otel_session.context import Identity
from otel_session.instrumentors.streamlit.causes import (
    MOST_WIDGETS,
    Asked,
    cause_of,
    fragments_of,
    is_of_timer,
    widget_key,
)
from otel_session.instrumentors.streamlit.page_names import PageNames
from otel_session.instrumentors.streamlit.tabs import Tab
from otel_session.wire.entries import Dropped, EntrySpan, Part
from otel_session.wire.parts import identity_parts, work_attributes

OK, RERUN, STOPPED, ERROR = "ok", "rerun", "stopped", "error"
_MOST_ERRORS = 8


class Running(Protocol):
    """What a rerun asks of whoever runs it."""

    exception_events: bool
    pages: PageNames

    def ended(self, rerun: Rerun, seconds: float) -> None:
        """Count a rerun."""


class Rerun:
    """What we hold while a script or some of its fragments run.

    Attributes:
        cause: See `causes`; known at the end, as Streamlit looks for changed widgets inside of the run.
        outcome: `ok`, `rerun`, `stopped` or `error`.
        page: The page's path, None while it is not known.
        error_type: `error.type` of the first uncaught exception, None without one.
        recording: Whether its span is recorded.
    """

    def __init__(
        self,
        runner: Running,
        ctx: Any,
        tab: Tab,
        asked: Asked | None,
        identity: Identity,
        context: Context,
        span: Span,
    ) -> None:
        self.tab, self.identity, self.context = tab, identity, context
        self.cause, self.outcome = "", OK
        self.page: str | None = None
        self.error_type: str | None = None
        self.recording = type(span) is not Dropped and span.is_recording()
        self._runner, self._ctx, self._span, self._asked = runner, ctx, span, asked
        self._data = None if asked is None else asked.data
        self._by_script = asked is not None and asked.by_script
        self._first = tab.runs == 0
        self._number = tab.runs
        self._page_before = tab.page_hash
        self._page_asked = str(getattr(self._data, "page_script_hash", "") or "")
        tab.page_hash = self._page_asked or tab.page_hash
        self._changed: list[str] = []
        self._brought = tab.brought
        tab.brought = self._changed if is_of_timer(self._data) else []
        self._errors: list[BaseException] = []
        self._started = perf_counter()

    def changed(self, widget_id: str) -> None:
        """Note a widget whose value is another than in the run before."""
        if len(self._changed) < MOST_WIDGETS:
            self._changed.append(widget_id)

    def failed(self, error: BaseException) -> None:
        """Note an exception that Streamlit shows to the user."""
        if len(self._errors) < _MOST_ERRORS and not any(known is error for known in self._errors):
            self._errors.append(error)

    def escaped(self, error: BaseException) -> None:
        """Note an exception that Streamlit does not handle: it ends the script's thread."""
        self.failed(error)
        self.outcome = ERROR

    @guarded
    def returned(self, result: Any) -> None:
        """Read what `exec_func_with_error_handling` returned: (result, ok, rerun data, stopped early, exception)."""
        _, fine, interrupted, stopped, error = result
        if self._asked is not None:
            self._asked.follow(interrupted)
        if error is not None:
            self.failed(error)
        if not fine or self._errors:
            self.outcome = ERROR
        elif interrupted is not None:
            self.outcome = RERUN
        elif stopped:
            self.outcome = RERUN if self._asked is not None and self._asked.overtaken else STOPPED

    def end(self) -> None:
        """It is over. Never raises."""
        try:
            self._conclude()
            self._runner.ended(self, perf_counter() - self._started)
            if self.recording:
                self._describe(self._span)
                self._span.end()
        except Exception:
            report("Rerun.end")
        finally:
            self._errors.clear()  # their tracebacks hold the script's frames
            self._ctx = self._data = self._asked = None

    def _conclude(self) -> None:
        if not self._changed and self._asked_by_user():
            self._changed = self._brought
        page_hash = self._page_hash()
        other_page = bool(self._page_before) and page_hash != self._page_before
        self.page = self._runner.pages.of(self._ctx, page_hash)
        self.cause = cause_of(
            self._data,
            first=self._first,
            by_script=self._by_script,
            widgets=bool(self._changed),
            other_page=other_page,
        )
        if self._errors:
            self.error_type = failures.type_name(self._errors[0])

    def _asked_by_user(self) -> bool:
        return self._data is not None and not self._by_script and not is_of_timer(self._data)

    def _page_hash(self) -> str:
        """The page that was run. Streamlit knows the page's newest run only, which may be another one by now."""
        if self.tab.runs > self._number + 1 and self._page_asked:
            return self._page_asked
        self.tab.page_hash = str(self._ctx.page_script_hash)
        return self.tab.page_hash

    def described(self) -> dict[str, Any]:
        """What span and metrics say of it."""
        told = {names.RERUN_CAUSE: self.cause, names.RERUN_OUTCOME: self.outcome}
        if self.page is not None:
            told[names.RERUN_PAGE] = self.page
        if self.error_type is not None:
            told[names.ERROR_TYPE] = self.error_type
        return told

    def _describe(self, span: Span) -> None:
        told: dict[str, Any] = self.described()
        if self._changed:
            told[names.WIDGET_KEYS] = [widget_key(found) for found in self._changed]
        if fragments := fragments_of(self._data):
            told[names.RERUN_FRAGMENTS] = fragments
        if self.identity.work is not None:
            told.update(work_attributes(self.identity.work))
        if self.page is not None:
            span.update_name(f"{names.SPAN_RERUN} {self.page}")
        self._tell(span, told)
        if self.outcome == ERROR:
            self._tell_errors(span)

    def _tell(self, span: Span, told: dict[str, Any]) -> None:
        identity = self.identity
        if type(span) is EntrySpan:
            if identity.changed:
                parts = (self.tab.part, *identity_parts(identity))
                span.retell(parts, identity.session_id, confirmed=identity.confirmed)
            span.tell(Part(told))
        else:
            span.set_attributes({**told, **identity.request_attributes()} if identity.changed else told)

    def _tell_errors(self, span: Span) -> None:
        first = failures.message(self._errors[0]) if self._errors else None
        span.set_status(Status(StatusCode.ERROR, first))
        for error in self._errors if self._runner.exception_events else ():
            span.add_event(
                names.EVENT_EXCEPTION,
                {
                    names.EXCEPTION_TYPE: failures.type_name(error),
                    names.EXCEPTION_MESSAGE: failures.message(error),
                    names.EXCEPTION_STACKTRACE: failures.stacktrace(error),
                },
            )


running: ContextVar[Rerun | None] = ContextVar("otel_session_streamlit_rerun", default=None)
"""The rerun that is on its way here: Streamlit's parallel fragments inherit it."""
