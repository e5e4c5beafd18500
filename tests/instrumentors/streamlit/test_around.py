"""Reruns among other things: parallel fragments, samplers, users, broken scripts, the official instrumentations."""

import pathlib
from importlib.metadata import version

import pytest

from otel_session import ids
from tests.environments import python_with
from tests.instrumentors.streamlit.served import SETTINGS, SOON, streamlit
from tests.instrumentors.streamlit.visit import STEPS, folder_with_app, reruns_of, visit
from tests.started import correlation_of, started
from tests.streamlit_client import Browser

SECRET = "a long and random text"
PARALLEL = """
import logging
import time

import streamlit as st

import otel_session


@st.cache_data
def slow(name):
    time.sleep(0.05)
    logging.getLogger("app").warning("worked out %s", name)
    return otel_session.current_session()


@st.fragment(parallel=True)
def part(name):
    st.write(f"{name} {slow(name)}")


for name in ("a", "b", "c"):
    part(name)
"""
IDS = """
import streamlit as st

import otel_session

st.session_state["who"] = "ada@example.com"
st.write(f"{otel_session.current_session()} {otel_session.get_correlation_id()}")
st.button("Again", key="again")
"""


def _folder(folder: pathlib.Path, source: str) -> pathlib.Path:
    (folder / "app.py").write_text(source)
    return folder


@pytest.mark.skipif(version("streamlit").startswith("1.5"), reason="parallel fragments came later")
def test_parallel_fragments(tmp_path: pathlib.Path) -> None:
    """Fragments on threads of their own belong to the rerun: ids, spans inside, log lines."""
    with streamlit(_folder(tmp_path, PARALLEL), "run", "app.py") as server:
        browser = Browser(server.url)
        tab = browser.open()
        assert sorted(tab.texts()) == [f"{name} {browser.session_id}" for name in "abc"]
        telemetry = server.telemetry()
    (rerun,) = reruns_of(telemetry.spans[browser.session_id])
    misses = [span for span in telemetry.spans[browser.session_id] if span.name == "streamlit.cache_miss"]
    assert [span.parent_span_id for span in misses] == [rerun.span_id] * 3
    lines = [log for log in telemetry.logs[browser.session_id] if log.message.startswith("worked out")]
    assert {correlation_of(log) for log in lines} == {correlation_of(rerun)}
    assert sorted(log.span_id for log in lines) == sorted(span.span_id for span in misses)


@pytest.mark.parametrize("sampler", ["always_off", "parentbased_traceidratio"])
def test_unsampled(tmp_path: pathlib.Path, sampler: str) -> None:
    """With reruns that are not sampled there is no span; ids, cookie and metrics are there all the same."""
    variables = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "0"}
    with streamlit(_folder(tmp_path, IDS), "run", "app.py", **variables) as server:
        browser = Browser(server.url)
        tab = browser.open()
        seen = [tab.texts()[0]]
        tab.click("again")
        seen.append(tab.texts()[0])
        telemetry = server.telemetry()
    assert telemetry.counts["spans"] == 0
    assert {text.split()[0] for text in seen} == {browser.session_id}
    assert len(set(seen)) == 2
    assert "streamlit.rerun.duration" in telemetry.metric_names


@pytest.mark.parametrize("form", ["hash", "raw"])
def test_user(tmp_path: pathlib.Path, form: str) -> None:
    """A user named in `st.session_state` is on the spans as a keyed hash, or raw where that was asked for."""
    variables = {"OTEL_SESSION_USER": "session:who", "OTEL_SESSION_SECRET": SECRET, "OTEL_SESSION_USER_FORM": form}
    with streamlit(_folder(tmp_path, IDS), "run", "app.py", **variables) as server:
        browser = Browser(server.url)
        tab = browser.open()
        tab.click("again")
        telemetry = server.telemetry()
    told = [{k: v for k, v in s.attributes.items() if "user" in k} for s in telemetry.spans[browser.session_id]]
    hashed = {"user.hash": ids.keyed_hash("user:ada@example.com", SECRET)}
    assert told == [hashed if form == "hash" else {"user.id": "ada@example.com"}] * 2


@pytest.mark.parametrize(("freeze", "expected"), [("on", True), ("off", False)])
def test_the_server_is_frozen(tmp_path: pathlib.Path, freeze: str, expected: bool) -> None:
    """What the server has loaded is not the collector's; what scripts load and make is; it can be switched off."""
    app = "import gc\nimport streamlit as st\nimport wave\n" + (
        "seen = gc.get_objects()\n"
        "st.write(str(gc.get_freeze_count() > 30_000))\n"
        "st.write(str(any(found is vars(wave) for found in seen)))\n"
        "st.write(str(any(found is vars(st) for found in seen)))\n"
    )
    with streamlit(_folder(tmp_path, app), "run", "app.py", OTEL_SESSION_GC_FREEZE=freeze) as server:
        assert Browser(server.url).open().texts() == [str(expected), "True", str(not expected)]


def test_does_not_compile(tmp_path: pathlib.Path) -> None:
    """A script that does not compile is a rerun that failed; the exception is told once."""
    with streamlit(_folder(tmp_path, "import streamlit as st\ndef ("), "run", "app.py") as server:
        browser = Browser(server.url)
        tab = browser.open()
        _folder(tmp_path, "import streamlit as st\nst.write('fine')\n")
        tab.rerun()
        assert tab.texts() == ["fine"]
        telemetry = server.telemetry()
    broken, fine = reruns_of(telemetry.spans[browser.session_id])
    assert broken.attributes["streamlit.rerun.cause"] == "first_load"
    assert broken.attributes["error.type"] == "SyntaxError"
    assert [event.name for event in broken.events] == ["exception"]
    assert fine.attributes["streamlit.rerun.outcome"] == "ok"


def test_beside_the_official_ones(tmp_path: pathlib.Path) -> None:
    """With the official Starlette and threading instrumentations each rerun is a trace of its own.

    It is linked to the websocket's span, and session and cookie are the same on all.
    """
    official = ("opentelemetry-instrumentation-starlette", "opentelemetry-instrumentation-threading")
    python = python_with(
        f"streamlit=={version('streamlit')}", "sqlalchemy==2.0.*", *official, extras="streamlit,sqlalchemy"
    )
    command = ("opentelemetry-instrument", "streamlit", "run", "app.py", "--server.port={port}", *SETTINGS)
    with started(python, folder_with_app(tmp_path), *command, **SOON) as server:
        browser = Browser(server.url)
        visit(browser)
        telemetry = server.telemetry()
    assert set(telemetry.spans) == {browser.session_id}
    spans = telemetry.spans[browser.session_id]
    reruns = reruns_of(spans)
    sockets = {span.span_id: span for span in spans if span.is_request and "/_stcore/stream" in span.name}
    assert all(span.links[-1].span_id in sockets for span in reruns)
    assert len({span.trace_id for span in reruns}) == len(STEPS)
    assert [str(s.attributes["streamlit.rerun.cause"]) for s in reruns] == [step[0] for step in STEPS]
