"""What our instrumentors share: when to stand aside."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # no types
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.util._importlib_metadata import entry_points

from otel_session import config


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


def drops_children(tracer: Any, context: Context) -> bool:
    """Whether a span started here would surely not be sampled, so that nothing need be built for it.

    True with an unsampled local parent under a parent-based sampler, or under a sampler that drops everything. Any
    other sampler is asked, by starting the span.
    """
    sampler = getattr(tracer, "sampler", None) or getattr(getattr(tracer, "_real_tracer", None), "sampler", None)
    if sampler is None or sampler is ALWAYS_OFF:
        return sampler is ALWAYS_OFF
    parent = trace.get_current_span(context)
    if parent.is_recording():
        return False
    known = parent.get_span_context()
    if not known.is_valid or known.trace_flags.sampled:
        return False
    rule = "_remote_parent_not_sampled" if known.is_remote else "_local_parent_not_sampled"
    return type(sampler) is ParentBased and getattr(sampler, rule, None) is ALWAYS_OFF
