"""What our instrumentors share: when to stand aside, and how what is replaced is put back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # no types
from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.trace.sampling import ParentBased, StaticSampler
from opentelemetry.trace import Span
from opentelemetry.util._importlib_metadata import entry_points

from otel_session import config
from otel_session import context as here
from otel_session.wire.entries import Dropped


class Instrumentor(BaseInstrumentor):  # type: ignore[misc]  # its package carries no types
    """An instrumentor that may be switched on twice, stands aside when told to, and leaves no trace when off.

    Attributes:
        official_name: Entry-point name of the official instrumentation for the same library. Disabling that name
            disables ours too where the official one is not installed: who writes
            `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=flask` then means ours.
    """

    official_name = ""

    def instrument(self, **kwargs: Any) -> Any:
        """Switch on. A second call adds what it names (another app, another engine) and changes nothing else."""
        if config.sdk_disabled() or self._disabled() or config.active_or_report() is None:
            return None
        if self.is_instrumented_by_opentelemetry:
            return self._again(**kwargs)
        return super().instrument(**kwargs)

    def uninstrument(self, **kwargs: Any) -> Any:
        """Switch off and put back what was changed; nothing happens when it is off already."""
        return super().uninstrument(**kwargs) if self.is_instrumented_by_opentelemetry else None

    def _again(self, **kwargs: Any) -> Any:
        """What a further `instrument()` adds."""

    def _disabled(self) -> bool:
        disabled = config.disabled_instrumentations()
        if not disabled:
            return False
        if disabled & {"*", "otel_session", f"otel_session_{self.official_name}"}:
            return True
        group = "opentelemetry_instrumentor"
        return self.official_name in disabled and not list(entry_points(group=group, name=self.official_name))


class Patches:
    """What was replaced."""

    def __init__(self) -> None:
        self._done: list[tuple[Any, str, Any, Any]] = []

    def wrap(self, owner: Any, name: str, around: Callable[[Any], Any]) -> None:
        """Replace a method by what `around` makes of it; nothing happens where there is no such class or method."""
        original = getattr(owner, name, None)
        if original is None:
            return
        ours = functools.wraps(original)(around(original))
        self._done.append((owner, name, owner.__dict__.get(name), ours))
        setattr(owner, name, ours)

    def remove(self) -> None:
        """Put back what is still ours; what others have wrapped since stays under theirs."""
        while self._done:
            owner, name, before, ours = self._done.pop()
            if owner.__dict__.get(name) is not ours:
                continue
            if before is None:  # it was inherited
                delattr(owner, name)
            else:
                setattr(owner, name, before)


class DropRule:
    """Knows when a span started here would surely not be sampled, so that nothing need be built for it.

    That is so under a sampler that drops everything, and with an unsampled local parent under a parent-based sampler.
    Any other sampler is asked, by starting the span.
    """

    __slots__ = ("_always", "_by_parent", "_sampler", "_tracer")

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer
        self._sampler: Any = None
        self._always = self._by_parent = False

    def drops_children(self) -> bool:
        """Whether every child of an unsampled span of this process is dropped. Costs about 0.1 µs."""
        tracer = getattr(self._tracer, "_real_tracer", None) or self._tracer
        sampler = getattr(tracer, "sampler", None)
        if sampler is not self._sampler:
            self._learn(sampler)
        return self._always or self._by_parent

    def drops(self, context: Context) -> bool:
        """Whether a span started in this context is dropped. Costs about 0.2 µs."""
        if not self.drops_children() or self._always:
            return self._always
        known = trace.get_current_span(context).get_span_context()
        return known.is_valid and not known.trace_flags & _SAMPLED and not known.is_remote

    def dropped(self, context: Context) -> Span | None:
        """The span that the SDK would give for one that is dropped in any case: ids and no more. None otherwise.

        Saves asking a sampler that always says no.
        """
        tracer = getattr(self._tracer, "_real_tracer", None) or self._tracer
        if type(tracer) is not Tracer:
            return None
        if tracer.sampler is not self._sampler:
            self._learn(tracer.sampler)
        if not self._always:
            return None
        if context.get(here.SPAN) is not None and trace.get_current_span(context) is not trace.INVALID_SPAN:
            return None
        return Dropped(tracer.id_generator)

    def _learn(self, sampler: Any) -> None:
        self._always = _never_samples(sampler)
        self._by_parent = (
            isinstance(sampler, ParentBased)
            and type(sampler).should_sample is ParentBased.should_sample
            and _never_samples(getattr(sampler, "_local_parent_not_sampled", None))
        )
        self._sampler = sampler


_SAMPLED = trace.TraceFlags.SAMPLED


def _never_samples(sampler: Any) -> bool:
    return isinstance(sampler, StaticSampler) and sampler.get_description() == "AlwaysOffSampler"
