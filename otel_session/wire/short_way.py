"""Whether nobody but our own encoder listens to a tracer's spans: then they need not be made the long way.

Only where nobody could tell: every processor of the provider is one of ours, limits are the default ones, and the
sampler is known to keep what is asked about. Everywhere else real spans are made, and delivered to everyone.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import SpanProcessor, Tracer
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, StaticSampler, TraceIdRatioBased

from .encoders import EncodingSpanProcessor
from .origins import Origin, origin_of
from .span_ids import draws_at_random

ADDS_ONLY_IDS = "adds_only_ids"
"""A processor with this attribute adds what our own spans carry anyway."""

_LEAST_ATTRIBUTES = 64
_UNKNOWN: Any = object()


class ShortWay:
    """Whether spans of one tracer may go the short way.

    Attributes:
        tracer: The SDK's, once it is known that there is one.
        encoder: Where the bytes go, once the way has been open.
        origin: Resource and scope of the tracer's spans.
        draws_ids: Whether spans' ids may come from `span_ids`.
        roots: The sampler of spans without a parent, when it is one that looks at the trace id alone and what it drops
            is dropped with all its children; else None.
        keeps_roots: Whether it keeps them all.
        keeps_remote: Whether it keeps every child of a sampled span of another process.
    """

    __slots__ = (
        "_asked",
        "_known",
        "_open",
        "_resource",
        "draws_ids",
        "encoder",
        "keeps_remote",
        "keeps_roots",
        "origin",
        "roots",
        "tracer",
    )

    def __init__(self, tracer: Any) -> None:
        self._asked = tracer
        self._known: Any = _UNKNOWN
        self._resource: Any = None
        self.tracer: Any = None
        self._open = False
        self.encoder: Any = None
        self.origin: Any = None
        self.roots: Sampler | None = None
        self.keeps_roots = self.keeps_remote = self.draws_ids = False

    def is_open(self) -> bool:
        """Whether a child of a recording span of this process may go the short way. Costs about 0.2 µs.

        Asked for each span, and worked out when the provider has changed.
        """
        tracer = self.tracer
        try:
            if tracer.span_processor._span_processors is self._known and tracer.resource is self._resource:
                return self._open and tracer._tracer_config.is_enabled
        except AttributeError:
            pass
        return self._ask()

    def _ask(self) -> bool:
        tracer = getattr(self._asked, "_real_tracer", None) or self._asked
        known = getattr(getattr(tracer, "span_processor", None), "_span_processors", None)
        self.tracer = tracer
        self._learn(tracer, known)
        return self._open and tracer._is_enabled()

    def _learn(self, tracer: Any, processors: Any) -> None:
        self._known, self._resource = processors, getattr(tracer, "resource", None)
        self._open = False
        if type(tracer) is not Tracer or not _default(tracer._span_limits) or _counts_itself(tracer):
            return
        if not _always_on(_part(tracer.sampler, "_local_parent_sampled")):
            return
        encoders = [p for p in processors or () if type(p) is EncodingSpanProcessor]
        others = [p for p in processors or () if type(p) is not EncodingSpanProcessor]
        if len(encoders) == 1 and all(_is_silent(p) for p in others):
            root = _part(tracer.sampler, "_root")
            self.keeps_roots = _always_on(root)
            drops_children = _always_off(_part(tracer.sampler, "_local_parent_not_sampled"))
            known = self.keeps_roots or (type(root) is TraceIdRatioBased and drops_children)
            self.roots = root if known else None
            self.keeps_remote = _always_on(_part(tracer.sampler, "_remote_parent_sampled"))
            self.origin = _origin(tracer)
            self.draws_ids = draws_at_random(tracer.id_generator)
            self.encoder = encoders[0]
            self._open = True


def _origin(tracer: Any) -> Origin:
    return origin_of(tracer.resource, tracer._instrumentation_scope)


def _is_silent(processor: Any) -> bool:
    return type(processor) is SpanProcessor or getattr(processor, ADDS_ONLY_IDS, False)


def _part(sampler: Any, name: str) -> Any:
    """The sampler that a parent-based one asks in one of its cases; any other sampler itself."""
    if isinstance(sampler, ParentBased) and type(sampler).should_sample is ParentBased.should_sample:
        return getattr(sampler, name, None)
    return sampler


def _always_on(sampler: Sampler | None) -> bool:
    """Whether a sampler keeps everything, with the parent's trace state."""
    return isinstance(sampler, StaticSampler) and sampler.get_description() == "AlwaysOnSampler"


def _always_off(sampler: Sampler | None) -> bool:
    return isinstance(sampler, StaticSampler) and sampler.get_description() == "AlwaysOffSampler"


def _default(limits: Any) -> bool:
    return limits.max_span_attribute_length is None and (limits.max_span_attributes or 0) >= _LEAST_ATTRIBUTES


def _counts_itself(tracer: Any) -> bool:
    """Whether the SDK counts each span it starts (`OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED`): then it starts all."""
    counting = getattr(tracer, "_tracer_metrics", None)
    return counting is not None and type(counting).__name__ != "NoOpTracerMetrics"
