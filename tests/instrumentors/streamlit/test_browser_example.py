"""The unmodified example under `opentelemetry-instrument streamlit run`, visited by three real browsers at once."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser

from otel_session import attributes as names
from otel_session import visits
from otel_session.instrumentors.streamlit.tabs import Tab as StreamlitTab
from otel_session.store.views import SpanView
from tests.backends.clients import JaegerClient, eventually
from tests.backends.conftest import jaeger, logs_folder  # noqa: F401
from tests.backends.evidence import Span, spans_of
from tests.backends.harness import Jaeger
from tests.browsers import chromium  # noqa: F401
from tests.instrumentors.streamlit.example_visit import LIVE_S, RUNS, Visit, visit_at_once
from tests.instrumentors.streamlit.seen import reruns_in
from tests.instrumentors.streamlit.served import EXAMPLE, streamlit
from tests.started import Telemetry

SERVICE = "hours-in-browsers"


@dataclass(frozen=True)
class Seen:
    """What the browsers saw, what the store holds of it, what the server wrote, and who knows what Jaeger holds."""

    visits: list[Visit]
    telemetry: Telemetry
    output: str
    jaeger: JaegerClient

    @property
    def reruns(self) -> list[SpanView]:
        return reruns_in(self.telemetry)

    def of(self, visit: Visit) -> list[SpanView]:
        """A visit's spans, those of its session."""
        return self.telemetry.spans[visit.shown[0]]


@pytest.fixture(scope="module")
def seen(
    chromium: Browser,  # noqa: F811
    jaeger: Jaeger,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Seen]:
    """One visit, for all tests of this file; telemetry goes to a store and to Jaeger."""
    folder = tmp_path_factory.mktemp("example")
    variables = {
        "OTEL_SERVICE_NAME": SERVICE,
        "OTEL_TRACES_EXPORTER": "otlp,otel_session_local",
        "OTEL_LOGS_EXPORTER": "otel_session_local",
        "OTEL_METRICS_EXPORTER": "otel_session_local",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{jaeger.otlp_http}/v1/traces",
        "HOURS_DATABASE_URL": f"sqlite:///{folder}/hours.sqlite",
        "HOURS_LIVE_S": LIVE_S,
    }
    with streamlit(folder, "run", str(EXAMPLE), **variables) as server:
        seen_by_browsers = visit_at_once(chromium, server.url)
        server.stop()
        yield Seen(seen_by_browsers, Telemetry.read(server.store), server.written(), jaeger.client)


def test_three_sessions(seen: Seen) -> None:
    """Each browser is one session through a refresh and a second tab: that of its cookie, which its page shows."""
    cookies = [visits.parse(visit.cookie, time.time()) for visit in seen.visits]
    assert [cookie and cookie.session_id for cookie in cookies] == [visit.shown[0] for visit in seen.visits]
    assert set(seen.telemetry.spans) == {visit.shown[0] for visit in seen.visits}
    assert len(set(seen.telemetry.spans)) == 3


def test_causes_and_outcomes(seen: Seen) -> None:
    """Every run says why it ran and how it ended; those by the timer come when their time has come."""
    for visit in seen.visits:
        reruns = [span for span in seen.of(visit) if span.name.startswith(names.SPAN_RERUN)]
        assert [_told(span) for span in reruns if span.attributes[names.RERUN_CAUSE] != "timer"] == RUNS
        timed = {_told(span) for span in reruns if span.attributes[names.RERUN_CAUSE] == "timer"}
        # Whoever is quicker than the fragment makes it give way; it may bring a click's change first.
        assert ("timer", "ok", "/", (), 1) in timed
        assert timed <= {("timer", end, "/", keys, 1) for end in ("ok", "rerun") for keys in ((), ("billable",))}


def test_as_many_spans_as_runs(seen: Seen) -> None:
    """Each run that Streamlit told a page of is one span with that page's id."""
    told = Counter(_tab_id(app_session_id) for visit in seen.visits for app_session_id in visit.runs)
    found = Counter(span.attributes[names.TAB_ID] for span in seen.reruns)
    # A user who clicks when the timer's run has just begun: the page is not told of that one.
    overtaken = Counter(
        span.attributes[names.TAB_ID]
        for span in seen.reruns
        if (span.attributes[names.RERUN_CAUSE], span.attributes[names.RERUN_OUTCOME]) == ("timer", "rerun")
    )
    assert told - found == Counter()
    assert found - told <= overtaken


def test_each_rerun_is_a_trace(seen: Seen) -> None:
    """A rerun is a root with a trace and a correlation id of its own, linked to the page's run before."""
    reruns = seen.reruns
    assert {span.parent_span_id for span in reruns} == {""}
    assert len({span.trace_id for span in reruns}) == len(reruns)
    assert len({span.attributes[names.CORRELATION_ID] for span in reruns}) == len(reruns)
    assert {visit.shown[1] for visit in seen.visits} < {span.attributes[names.CORRELATION_ID] for span in reruns}
    before: dict[object, str] = {}
    for span in reruns:
        tab = span.attributes[names.TAB_ID]
        assert [link.span_id for link in span.links] == ([before[tab]] if tab in before else [])
        before[tab] = span.span_id


def test_everything_is_in_a_rerun(seen: Seen) -> None:
    """No span is outside of a rerun, for static files least of all; what is inside has the rerun's ids."""
    by_trace = {span.trace_id: span for span in seen.reruns}
    for spans in seen.telemetry.spans.values():
        by_id = {span.span_id: span for span in spans}
        for span in spans:
            root = by_trace[span.trace_id]
            assert span is root or span.parent_span_id in by_id
            assert span.attributes[names.CORRELATION_ID] == root.attributes[names.CORRELATION_ID]
            assert span.session_id == root.session_id
    assert sum(map(len, seen.telemetry.spans.values())) == seen.telemetry.counts["spans"]


def test_children(seen: Seen) -> None:
    """Callbacks, cache misses, the connection and statements are inside of the rerun that they are of."""
    children = Counter(
        (_parent(seen, span).attributes[names.RERUN_PAGE], span.name)
        for visit in seen.visits
        for span in seen.of(visit)
        if span.name in (names.SPAN_CALLBACK, names.SPAN_CONNECTION, names.SPAN_CACHE_MISS)
    )
    assert children["/book", names.SPAN_CALLBACK] == len(seen.visits)
    assert sum(count for (_, name), count in children.items() if name == names.SPAN_CONNECTION) == 1
    assert children["/", names.SPAN_CACHE_MISS] > len(seen.visits)
    statements = Counter(span.name for visit in seen.visits for span in seen.of(visit) if span.is_statement)
    assert statements["INSERT bookings"] >= len(seen.visits)
    assert statements["DELETE bookings"] == len(seen.visits)


def test_errors_are_told_once(seen: Seen) -> None:
    """The failing report is one exception on one span of each visit; st.stop and st.rerun are none anywhere."""
    failed = [span for span in seen.reruns if span.is_error]
    assert [span.attributes[names.ERROR_TYPE] for span in failed] == ["ZeroDivisionError"] * len(seen.visits)
    everything = [span for spans in seen.telemetry.spans.values() for span in spans]
    assert [event.name for span in everything for event in span.events] == ["exception"] * len(seen.visits)
    assert [span for span in everything if span.is_error and span not in failed] == []


def test_log_lines_belong_to_the_visits(seen: Seen) -> None:
    """What the app logs has the ids of the rerun that logged it."""
    for visit in seen.visits:
        messages = [re.sub(r"\d+(\.\d+)?", "N", text) for text in seen.telemetry.messages(visit.shown[0])]
        expected = {"booked N hours on project N", "booking N taken back", "averaging bookings"}
        assert expected <= set(messages)


def test_the_app_does_not_notice(seen: Seen) -> None:
    """The server writes its three tracebacks, without a frame of ours in them, and no warning of ours or of OTel's."""
    assert seen.output.count("Traceback") == len(seen.visits)
    assert [line for line in seen.output.splitlines() if re.search(r"otel|opentelemetry|detach", line, re.I)] == []
    said = [line for line in seen.output.splitlines() if "WARNING" in line]
    assert all("slow report" in line for line in said)


def test_jaeger_has_the_same(seen: Seen) -> None:
    """A search in Jaeger for a session gives the spans that the store has of it: ids, names, causes, outcomes."""
    for visit in seen.visits:
        expected = {
            (span.trace_id, span.span_id, span.name, span.attributes.get(names.RERUN_CAUSE)) for span in seen.of(visit)
        }

        def found(session_id: str = visit.shown[0]) -> list[Span]:
            return spans_of(seen.jaeger.traces(SERVICE, {names.SESSION_ID: session_id}))

        eventually(lambda found=found, expected=expected: len(found()) >= len(expected))
        assert {(s.trace_id, s.span_id, s.name, s.tags.get(names.RERUN_CAUSE)) for s in found()} == expected


def _told(span: SpanView) -> tuple[object, ...]:
    about = span.attributes
    keys = tuple(sorted(re.sub(r"-\d+$", "", key) for key in about.get(names.WIDGET_KEYS, ())))
    fragments = about.get(names.RERUN_FRAGMENTS, 0)
    return about[names.RERUN_CAUSE], about[names.RERUN_OUTCOME], about[names.RERUN_PAGE], keys, fragments


def _tab_id(app_session_id: str) -> object:
    return StreamlitTab(app_session_id).part.attributes[names.TAB_ID]


def _parent(seen: Seen, span: SpanView) -> SpanView:
    return next(rerun for rerun in seen.reruns if rerun.trace_id == span.trace_id)
