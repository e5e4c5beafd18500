"""What hypothesis draws from: ids, texts, values and finished spans, odd ones included."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags, TraceState

# Enough for every run; a long search is `WIRE_EXAMPLES=20000 pytest tests/wire`.
_examples = int(os.environ.get("WIRE_EXAMPLES", "60"))
many = settings(max_examples=_examples, deadline=None, suppress_health_check=list(HealthCheck))

fewer = settings(many, max_examples=_examples // 2)

trace_ids = st.one_of(st.integers(1, 2**128 - 1), st.sampled_from([1, 2**64, 2**127, 2**128 - 1]))
span_ids = st.one_of(st.integers(1, 2**64 - 1), st.sampled_from([1, 2**63, 2**64 - 1]))
times_ns = st.one_of(
    st.integers(1_700_000_000 * 10**9, 1_900_000_000 * 10**9), st.sampled_from([0, 1, 2**63, 2**64 - 1])
)

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.sampled_from(["", "\x00", "GET /users/<id>", "ünïcödé", "日本語", "🎉" * 3, "a" * 127, "a" * 128, "é" * 64]),
    st.integers(200, 40_000).map(lambda length: "x" * length),
)
names = texts.filter(bool)

integers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-300, 3000),
    st.sampled_from([-(2**63), 2**63 - 1, -1, 0, 127, 128, 1023, 1024, 2**32]),
)
wide_integers = st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**30])
scalars = st.one_of(
    texts,
    st.booleans(),
    integers,
    st.floats(),
    st.sampled_from([0.0, -0.0, 1.0, float("nan"), float("inf"), float("-inf"), 5e-324]),
    st.binary(max_size=40),
    st.none(),
    wide_integers,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(texts, inner, max_size=4),
        st.dictionaries(st.integers(), inner, max_size=2),
    ),
    max_leaves=8,
)
attributes = st.dictionaries(st.one_of(names, st.sampled_from(["a", "b", "http.route", "k"])), values, max_size=8)

_entries = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_\-*/]{0,20}", fullmatch=True), st.from_regex(r"[!-+.-<>-~]{1,20}", fullmatch=True)
)
trace_states = _entries.map(lambda entries: TraceState(list(entries.items())[:32]))
contexts = st.builds(
    SpanContext,
    trace_id=trace_ids,
    span_id=span_ids,
    is_remote=st.booleans(),
    trace_flags=st.sampled_from([TraceFlags(0), TraceFlags(1)]),
    trace_state=trace_states,
)
resources = st.builds(Resource, attributes, texts)
scopes = st.builds(
    InstrumentationScope,
    texts,
    st.one_of(st.none(), texts),
    st.one_of(st.none(), texts),
    st.one_of(st.none(), attributes),
)
kinds = st.sampled_from(SpanKind)
codes = st.sampled_from(StatusCode)
limits = st.one_of(st.none(), st.integers(0, 5))
