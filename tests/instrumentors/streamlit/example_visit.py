"""What three people do with `examples/streamlit_app` in browsers of their own, at once; and what each run should be."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from playwright.sync_api import Browser

from tests.browsers import Tab, Visitor

LIVE_S = "1.5"
"""Seconds between two runs of the overview's own fragment."""

# Each run but those by the timer: (cause, outcome, page, keys of the widgets, fragments).
RUNS = [
    ("first_load", "ok", "/", (), 0),
    ("widget", "ok", "/", ("billable",), 0),
    ("fragment", "ok", "/", ("look-again",), 1),
    ("page", "stopped", "/book", (), 0),
    ("widget", "ok", "/book", ("who",), 0),
    ("widget", "rerun", "/book", ("book", "note"), 0),
    ("rerun", "ok", "/book", (), 0),
    ("widget", "ok", "/book", ("back", "note"), 0),  # the form was emptied when it was sent
    ("widget", "rerun", "/book", ("to-overview",), 0),
    ("page", "ok", "/", (), 0),
    ("page", "ok", "/reports", (), 0),
    ("widget", "ok", "/reports", ("utilisation",), 0),
    ("widget", "error", "/reports", ("average",), 0),
    ("first_load", "ok", "/reports", (), 0),
    ("first_load", "ok", "/visit", (), 0),
]
NAMES = ("Anna Keller", "Mira Novak", "Samir Haddad")


@dataclass(frozen=True)
class Visit:
    """What one person's browser saw.

    Attributes:
        runs: Streamlit's id of the open page, for each run that the server told of.
        shown: The session id and the correlation id that the page about the visit shows.
        cookie: Ours.
    """

    runs: list[str]
    shown: tuple[str, str]
    cookie: str


def visit_at_once(chromium: Browser, url: str) -> list[Visit]:
    """Let all three do the same, each step at the same time."""
    visitors = [Visitor(chromium, url) for _ in NAMES]
    tabs = [visitor.open(wait=False) for visitor in visitors]
    for tab in tabs:
        tab.wait()
    _together(tabs, lambda tab: tab.page.get_by_text("Billable hours only").click())
    _run_fragments(tabs)
    _together(tabs, lambda tab: tab.link("Book hours").click())
    _book(tabs)
    _together(tabs, lambda tab: tab.link("Reports").click())
    _together(tabs, lambda tab: tab.button("Work it out").click())
    _together(tabs, lambda tab: tab.button("Average").click())
    _together(tabs, lambda tab: tab.page.reload(wait_until="commit"))
    second = [visitor.open("/visit", wait=False) for visitor in visitors]
    for tab in second:
        tab.wait()
    seen = [
        Visit([*tab.begun, *other.begun], _shown(other), visitor.cookies["otel_session"])
        for visitor, tab, other in zip(visitors, tabs, second, strict=True)
    ]
    for visitor in visitors:
        visitor.close()
    return seen


def _together(tabs: Sequence[Tab], action: Callable[[Tab], object]) -> None:
    for tab in tabs:
        tab.start(lambda tab=tab: action(tab))
    for tab in tabs:
        tab.wait()


def _run_fragments(tabs: Sequence[Tab]) -> None:
    """By its button, and by its timer at least twice."""
    before = [tab.fragment_runs for tab in tabs]
    for tab in tabs:
        tab.button("Look again").click()
    for tab, runs in zip(tabs, before, strict=True):
        tab.until(lambda tab=tab, runs=runs: tab.fragment_runs >= runs + 3)


def _book(tabs: Sequence[Tab]) -> None:
    for tab, name in zip(tabs, NAMES, strict=True):
        tab.choose("Who are you?", name)
        tab.page.get_by_label("Note").fill("Night shift")
    _together(tabs, lambda tab: tab.button("Book", exact=True).click())
    for tab in tabs:
        assert "are booked" in tab.text()
    _together(tabs, lambda tab: tab.button("Take back").click())
    _together(tabs, lambda tab: tab.button("To the overview").click())


def _shown(tab: Tab) -> tuple[str, str]:
    patterns = (r"\b[0-9a-f]{32}\b", r"\breq_[0-9a-f]{12}\b")
    tab.until(lambda: all(re.search(pattern, tab.text()) for pattern in patterns))
    session_id, correlation_id = (re.findall(pattern, tab.text())[0] for pattern in patterns)
    return session_id, correlation_id
