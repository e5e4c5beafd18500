"""A visit to a real Streamlit server: each rerun told once, with its cause, its outcome and all that was done in it."""

import pathlib
import threading

import pytest

from tests.instrumentors.streamlit.served import streamlit
from tests.instrumentors.streamlit.visit import STEPS, assert_right, folder_with_app, reruns_of, visit
from tests.started import correlation_of
from tests.streamlit_client import Browser

SHARED = ("streamlit.connection", "streamlit.cache_miss", "connect")
MESSAGES = {"greeting", "counting later", "3 by a thread", "looked", "Uncaught app execution", "other"}


class Visited:
    """What two browsers' visits, made at the same time, left behind."""

    def __init__(self, folder: pathlib.Path) -> None:
        with streamlit(folder_with_app(folder), "run", "app.py") as server:
            browsers = [Browser(server.url), Browser(server.url)]
            threads = [threading.Thread(target=visit, args=(browser,)) for browser in browsers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert [browser for browser in browsers if "otel_session" not in browser.cookies] == []
            self.telemetry = server.telemetry()
            self.written = server.written()
        self.bytes = b"".join(path.read_bytes() for path in folder.glob("telemetry.db*"))
        self.session_ids = [browser.session_id for browser in browsers]


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Visited:
    return Visited(tmp_path_factory.mktemp("visit"))


def test_reruns(visited: Visited) -> None:
    """Two browsers at once: causes, outcomes, pages, widgets, errors, links and what is inside are right for each."""
    assert len(set(visited.session_ids)) == 2
    for session_id in visited.session_ids:
        # Whoever is first makes the connection and fills the caches for both: see the next test.
        spans = [span for span in visited.telemetry.spans[session_id] if span.name not in SHARED]
        assert_right(spans, [(*step[:5], tuple(child for child in step[5] if child not in SHARED)) for step in STEPS])


def test_shared(visited: Visited) -> None:
    """A cached value and a connection are told of by whoever made them, or waited while another user's rerun did."""
    spans = [span for found in visited.telemetry.spans.values() for span in found]
    misses = [span.attributes for span in spans if span.name == "streamlit.cache_miss"]
    assert {(has["code.function.name"], has["streamlit.cache.kind"]) for has in misses} == {
        ("__main__.model", "resource"),
        ("__main__.worked_out", "data"),
    }
    made = [span.attributes for span in spans if span.name == "streamlit.connection"]
    assert {has["streamlit.connection.name"] for has in made} == {"deals"}
    assert {str(has["streamlit.connection.class"]).rpartition(".")[2] for has in made} == {"SQLConnection"}


def test_nothing_else(visited: Visited) -> None:
    """No span of static files or of the websocket, none without a session."""
    telemetry = visited.telemetry
    assert set(telemetry.spans) == set(visited.session_ids)
    assert telemetry.counts["spans"] == sum(map(len, telemetry.spans.values()))
    for spans in telemetry.spans.values():
        assert len([span for span in spans if span.is_request]) == len(STEPS) == len(reruns_of(spans))


def test_logs(visited: Visited) -> None:
    """What the script logs carries its rerun's ids, from asyncio and threads as well; each error is written once."""
    for session_id in visited.session_ids:
        logs = visited.telemetry.logs[session_id]
        reruns = {correlation_of(span): span for span in reruns_of(visited.telemetry.spans[session_id])}
        lines = [log for log in logs if not log.event_name]
        assert {log.message for log in lines} >= MESSAGES - {"3 by a thread"}
        assert all(reruns[correlation_of(log)].trace_id == log.trace_id for log in lines)
        assert [log.event_name for log in logs if log.event_name] == ["session.start"]


def test_errors_are_told_once(visited: Visited) -> None:
    """An uncaught exception is one event on its rerun; what ends or repeats a run is none."""
    for session_id in visited.session_ids:
        spans = visited.telemetry.spans[session_id]
        events = [(span.name, str(event.attributes["exception.type"])) for span in spans for event in span.events]
        assert events == [
            ("streamlit.rerun /", "RuntimeError"),
            ("streamlit.rerun /", "ValueError"),
            ("streamlit.rerun /", "KeyError"),
        ]
        red = [span.name for span in spans if span.status == "ERROR"]
        assert red == ["streamlit.rerun /", "streamlit.rerun /", "streamlit.rerun /", "streamlit.callback"]


def test_work_counts(visited: Visited) -> None:
    """A rerun's span says what it did in databases."""
    for session_id in visited.session_ids:
        reruns = reruns_of(visited.telemetry.spans[session_id])
        saved = reruns[[step[3] for step in STEPS].index(("save",))].attributes
        assert saved["sqlalchemy.request.orm_sessions"] == saved["sqlalchemy.request.commits"] == 1
        assert saved["sqlalchemy.request.statements"] == 1
        assert "sqlalchemy.request.statements" not in reruns[1].attributes


def test_nothing_private(visited: Visited) -> None:
    """No widget's value, no cookie and no id of Streamlit's own leaves the process."""
    for private in (b"Ada Private", b"Private note", b"_streamlit_xsrf"):
        assert private not in visited.bytes


def test_metrics(visited: Visited) -> None:
    """Durations, active sessions and open pages are metrics."""
    assert visited.telemetry.metric_names >= {
        "streamlit.rerun.duration",
        "streamlit.session.active",
        "streamlit.tab.active",
    }


def test_no_warnings(visited: Visited) -> None:
    """Nothing of ours is written to the console."""
    assert "otel" not in visited.written.lower()
