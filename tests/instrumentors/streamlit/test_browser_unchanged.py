"""In a real browser an application looks and behaves the same with the instrumentor and without."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from otel_session import attributes as names
from otel_session.store.views import SpanView
from tests.browsers import Tab, Visitor, chromium  # noqa: F401
from tests.instrumentors.streamlit import widgets
from tests.instrumentors.streamlit.seen import reruns_in
from tests.instrumentors.streamlit.served import WIDGETS, streamlit
from tests.started import Telemetry

READ_S = 5.0
CALM_READS = 4
"""How often a text is read, 50 ms apart, to be taken for final."""
GONE = "status of 404"
"""In `hello`, a frame of the animation that was replaced by the next one before the browser had asked for it."""


@dataclass(frozen=True)
class Drive:
    """One application used once: what was seen, and what it and its browser counted."""

    texts: dict[str, str]
    console: list[tuple[str, str]]
    cookies: set[str]
    runs: list[str]
    counted: Counter[str]
    output: str
    spans: list[SpanView]

    @property
    def said(self) -> tuple[list[tuple[str, str]], set[tuple[str, str]]]:
        """The console's errors, and its different warnings: how often a chart is drawn is a matter of time."""
        errors = [line for line in self.console if line[0] != "warning"]
        return errors, set(self.console) - set(errors)


def drive(
    chromium: Browser,  # noqa: F811
    folder: Path,
    name: str,
    *,
    expected: dict[str, str] | None = None,
) -> Drive:
    """Use an application, by default without the instrumentor; with it where texts are expected."""
    folder.mkdir()
    counts = folder / "runs.txt"
    command, use = APPS[name]
    with streamlit(folder, *command, instrumented=expected is not None, COUNT_FILE=str(counts)) as server:
        visitor = Visitor(chromium, server.url)
        tab = visitor.open()
        texts = {step: read(tab, expected and expected[step], axes=name != "hello") for step in use(tab)}
        cookies = set(visitor.cookies)
        visitor.close()
        server.stop()
        spans = [] if expected is None else reruns_in(Telemetry.read(server.store))
        output = server.written().replace(server.url, "")
    counted = Counter(counts.read_text().splitlines()) if counts.exists() else Counter()
    console = sorted(line for line in tab.console if name != "hello" or GONE not in line[1])
    return Drive(texts, console, cookies, tab.begun, counted, output, spans)


def read(tab: Tab, expected: str | None, *, axes: bool) -> str:
    """The text of the page when it changes no more, or when it is the expected one.

    Without axes, lines that are a number are left out: a demo draws random numbers, others each time.
    """
    deadline, texts = time.monotonic() + READ_S, [""] * CALM_READS
    while time.monotonic() < deadline and texts[-1] != expected:
        tab.page.wait_for_timeout(50)
        lines = [line for line in tab.text().splitlines() if axes or not re.fullmatch(r"[−\d.]+", line)]
        texts = [*texts[1:], "\n".join(lines)]
        if expected is None and len(set(texts)) == 1:
            break
    return texts[-1]


def use_hello(tab: Tab) -> Iterator[str]:
    yield "first"
    for page in ("DataFrame demo", "Plotting demo", "Mapping demo"):
        tab.go(page)
        yield page
    tab.link("Animation demo").click()
    tab.until(lambda: "Frame " in tab.text())
    tab.go("Hello")  # the animation is cut short
    yield "Hello again"


APPS: dict[str, tuple[tuple[str, ...], Callable[[Tab], Iterator[str]]]] = {
    "hello": (("hello",), use_hello),
    "widgets": (("run", str(WIDGETS)), widgets.use),
}


@pytest.fixture(scope="module", params=list(APPS))
def both(
    request: pytest.FixtureRequest,
    chromium: Browser,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Drive, Drive]:
    """The application used without the instrumentor, and with it."""
    folder = tmp_path_factory.mktemp(request.param)
    plain = drive(chromium, folder / "plain", request.param)
    return plain, drive(chromium, folder / "instrumented", request.param, expected=plain.texts)


def test_text_and_console_are_the_same(both: tuple[Drive, Drive]) -> None:
    """After each step the page says the same, and so does the console in the end; the only new thing is our cookie."""
    plain, instrumented = both
    assert instrumented.texts == plain.texts
    assert instrumented.said == plain.said
    assert instrumented.cookies - plain.cookies == {"otel_session"}


def test_output_is_the_same(both: tuple[Drive, Drive]) -> None:
    """The server says the same as without us, failures of the script included; a traceback's inner lines aside."""
    plain, instrumented = both
    assert _said_by_server(instrumented) == _said_by_server(plain)


def test_a_span_for_each_run(both: tuple[Drive, Drive]) -> None:
    """There are as many rerun spans as the script counted runs, and as the browser was told of; one is cut short."""
    _, instrumented = both
    assert len(instrumented.spans) == len(instrumented.runs)
    cut = [span for span in instrumented.spans if span.attributes[names.RERUN_PAGE] == "/animation_demo"]
    assert [span.attributes[names.RERUN_OUTCOME] for span in cut] == ["rerun"] * ("Hello again" in instrumented.texts)
    assert [span.attributes[names.RERUN_CAUSE] for span in cut] == ["page"] * len(cut)
    if instrumented.counted:
        assert len(instrumented.spans) == sum(instrumented.counted.values())


def _said_by_server(drive: Drive) -> list[str]:
    lines = [line for line in drive.output.splitlines() if not line.startswith(" ")]
    return [re.sub(r"^\d{4}-\d\d-\d\d [\d:.,]+ |:\d+$", "", line) for line in lines]
