"""One operation on its way: its ids, its lines, its span, its end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span

from otel_session import attributes as names
from otel_session import context as here
from otel_session._guard import guarded, report
from otel_session.context import Identity
from otel_session.operations import _lines, _metadata
from otel_session.operations._lines import Place
from otel_session.operations._outcomes import outcome_of
from otel_session.operations._providers import signals

_KEY = otel_context.create_key("otel_session.operation")
_LEVELS = {
    names.OPERATION_COMPLETE: logging.INFO,
    names.OPERATION_FAILED: logging.ERROR,
    names.OPERATION_CANCELLED: logging.WARNING,
}


class Operation:
    """What `with track_operation(…) as operation` gives. Ends once.

    Attributes:
        name: Its name, as it is told.
        context: What is current in it.
    """

    def __init__(self, name: str, metadata: dict[str, Any], logger: logging.Logger, place: Place) -> None:
        self.name = name
        self._logger, self._place = logger, place
        self._metadata = metadata
        self._added: dict[str, Any] = {}
        self._span: Span | None = None
        self._told = False
        self._ended = False
        self._token: Any = None
        base = here.get_current()
        self._outer: Operation | None = base.get(_KEY)
        self.context = base
        self._identity = here.current(base) or Identity(None)
        self._begin(base)
        self._began_s = perf_counter()

    @property
    def correlation_id(self) -> str:
        """That of the request, rerun or run it is part of; outside of any a new one, for as long as it lasts."""
        return self._identity.correlation_id

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What is told beside its name, masked; a copy."""
        return dict(self._metadata)

    def add_metadata(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Tell more: it is in the operation's last line and on its span. Never raises.

        Args:
            values: By name; of a name given before the later value counts. At most 100 names are kept.
            **more: Likewise.
        """
        try:
            added: dict[str, Any] = {}
            _metadata.add(added, {**(values or {}), **more})
            for key in added:
                if key in self._metadata or len(self._metadata) < _metadata.MOST_KEYS:
                    self._metadata[key] = self._added[key] = added[key]
        except Exception:
            report("Operation.add_metadata")

    @guarded
    def _begin(self, base: Context) -> None:
        if here.current(base) is not self._identity:
            base = here.put(self._identity, base, in_baggage=here.sends_baggage())
        self.context = Context({**base, _KEY: self})
        self._start_span(base)
        self._say("start", logging.INFO, {})

    @guarded
    def _start_span(self, base: Context) -> None:
        told = signals()
        self._told = told.listens(base)
        if self._told:
            self._span = told.start(self.name, self._identity, self._metadata, base)
        if self._span is not None:
            self.context = Context({**self.context, here.SPAN: self._span})

    def enter(self) -> None:
        """Make it current. Costs about 0.2 µs."""
        self._token = here.attach(self.context)

    def leave(self) -> None:
        """Make current what was before; in another context, or where something else is current by now, nothing."""
        token, self._token = self._token, None
        if token is None or not self.is_current():
            return
        try:
            here.detach(token)
        except ValueError:  # a generator or task that is collected elsewhere than it ran
            pass

    def is_current(self) -> bool:
        """Whether the current context is the operation's own, or was made inside of it."""
        at: Any = here.get_current().get(_KEY)
        while at is not None:
            if at is self:
                return True
            at = at._outer
        return False

    def end(self, error: BaseException | None) -> None:
        """It has ended, by an exception or without. Never raises."""
        if self._ended:
            return
        self._ended = True
        seconds = perf_counter() - self._began_s
        outcome = outcome_of(error)
        shown = None if outcome == names.OPERATION_COMPLETE else error
        self._say_end(seconds, outcome, shown)
        self._tell_end(seconds, outcome, shown)
        self._outer = None  # contexts live on in threads, and would hold one operation after the other

    @guarded
    def _say_end(self, seconds: float, outcome: str, error: BaseException | None) -> None:
        level = _LEVELS[outcome]
        if not self._logger.isEnabledFor(level):
            return
        fields: dict[str, Any] = {_lines.DURATION_MS: round(seconds * 1_000, 2), _lines.SUCCESS: error is None}
        if error is not None:
            fields[_lines.ERROR] = _lines.error_fields(error)
        self._say("complete" if error is None else "failed", level, fields)

    @guarded
    def _tell_end(self, seconds: float, outcome: str, error: BaseException | None) -> None:
        if not self._told:
            return
        told = signals()
        try:
            told.counts.add(self.name, seconds, outcome, error, self.context)
        finally:
            if self._span is not None:
                told.finish(self._span, self._added, outcome, error)

    def _say(self, what: str, level: int, fields: dict[str, Any]) -> None:
        """Write one of its lines, with its own ids whatever is current."""
        if not self._logger.isEnabledFor(level):
            return
        fields[_lines.OPERATION] = self.name
        if self._metadata:
            fields[_lines.METADATA] = dict(self._metadata)
        token = here.attach(self.context)
        try:
            _lines.write(self._logger, level, f"{self.name}_{what}", fields, self._place)
        finally:
            here.detach(token)
