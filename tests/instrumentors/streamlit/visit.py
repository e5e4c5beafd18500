"""A visit to `visit_app`, step by step, and what each of its reruns has to say."""

import contextlib
import itertools
import pathlib
import shutil
import sqlite3
from typing import Any

from otel_session.store.views import SpanView
from tests.streamlit_client import Browser

APP = pathlib.Path(__file__).with_name("visit_app") / "app.py"
SQL = ("streamlit.connection", "SELECT deals")
MISSES = ("streamlit.cache_miss", "streamlit.cache_miss")

Step = tuple[str, str, str, tuple[str, ...], str | None, tuple[str, ...]]


def _step(
    cause: str,
    *keys: str,
    outcome: str = "ok",
    page: str = "/",
    error: str | None = None,
    children: tuple[str, ...] = (),
) -> Step:
    return (cause, outcome, page, keys, error, children)


# Cause, outcome, page, widgets' keys, type of the error, the spans right inside.
STEPS: list[Step] = [
    _step("first_load", children=MISSES),
    _step("widget", "name"),
    _step("widget", "greet", children=("streamlit.callback",)),
    _step("widget", "amount", "note", "FormSubmitter:order-Order"),
    _step("widget", "count", children=SQL),
    _step("widget", "later", children=("SELECT deals",)),
    _step("widget", "thread", children=("SELECT deals",)),
    _step("widget", "save", children=("sqlalchemy.unit_of_work",)),
    _step("fragment", "look"),
    _step("timer"),
    _step("fragment", "more", outcome="rerun"),
    _step("rerun"),
    _step("fragment", "break", outcome="error", error="RuntimeError"),
    _step("widget", "error", outcome="error", error="ValueError"),
    _step("request"),
    _step("widget", "stop", outcome="stopped"),
    _step("request"),
    _step("widget", "again", outcome="rerun"),
    _step("rerun"),
    _step("widget", "switch", outcome="rerun"),
    _step("page", page="/other"),
    _step("widget", "#", page="/other"),
    _step("page"),
    _step("widget", "fail", outcome="error", error="KeyError", children=("streamlit.callback",)),
]


def folder_with_app(folder: pathlib.Path) -> pathlib.Path:
    """Put the application and its database into a folder."""
    shutil.copy(APP, folder / "app.py")
    with contextlib.closing(sqlite3.connect(folder / "deals.db")) as database:
        database.execute("CREATE TABLE deals (id INTEGER PRIMARY KEY, name TEXT)")
        database.execute("INSERT INTO deals (name) VALUES ('first'), ('second')")
        database.commit()
    return folder


def visit(browser: Browser) -> None:
    """Do what `STEPS` tells."""
    tab = browser.open()
    tab.set("name", "Ada Private")
    tab.click("greet")
    tab.set("amount", 7.5)
    tab.set("note", "Private note")
    tab.click("Order")
    for key in ("count", "later", "thread", "save", "look"):
        tab.click(key)
    tab.tick()
    tab.click("more")
    tab.click("break")
    tab.click("error")
    tab.rerun()
    tab.click("stop")
    tab.rerun()
    tab.click("again")
    tab.click("switch")
    tab.click("Nothing")
    tab.go("home")
    tab.click("fail")
    tab.close()


def reruns_of(spans: list[SpanView]) -> list[SpanView]:
    """The reruns among spans, in order of start."""
    return [span for span in spans if span.name.startswith("streamlit.rerun")]


def told(spans: list[SpanView]) -> list[Step]:
    """What a session's spans say of its reruns, as `STEPS` does."""
    return [_told(span, spans) for span in reruns_of(spans)]


def _told(rerun: SpanView, spans: list[SpanView]) -> Step:
    has = rerun.attributes
    keys: Any = has.get("streamlit.widget.keys", ())
    return (
        str(has["streamlit.rerun.cause"]),
        str(has["streamlit.rerun.outcome"]),
        str(has["streamlit.page"]),
        tuple(key[:1] if key.startswith("#") else key for key in keys),
        None if "error.type" not in has else str(has["error.type"]),
        tuple(span.name for span in spans if span.parent_span_id == rerun.span_id),
    )


def assert_right(spans: list[SpanView], steps: list[Step]) -> None:
    """One browser's visit is its session: nothing missing, doubled or somebody else's."""
    assert told(spans) == steps
    reruns = reruns_of(spans)
    assert len({span.trace_id for span in reruns}) == len(reruns)
    assert not any(span.parent_span_id for span in reruns)
    for before, span in itertools.pairwise(reruns):
        assert [link.span_id for link in span.links] == [before.span_id]
    assert len({span.attributes["streamlit.tab.id"] for span in reruns}) == 1
    by_trace = {span.trace_id: span.attributes["correlation.id"] for span in reruns}
    assert len(set(by_trace.values())) == len(reruns)
    assert all(by_trace[span.trace_id] == span.attributes["correlation.id"] for span in spans)
