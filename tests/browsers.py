"""Real browsers for tests: headless Chromium, driven by Playwright, each context with cookies of its own.

Import the fixture into a test file: `from tests.browsers import chromium  # noqa: F401`.
"""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, WebSocket, sync_playwright
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.servers import _missing

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_S = 15.0
_IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"][data-test-connection-state="CONNECTED"]'
_STATUS = ForwardMsg.ScriptFinishedStatus
_FOLLOWED = _STATUS.Value("FINISHED_EARLY_FOR_RERUN")
_FRAGMENT = _STATUS.Value("FINISHED_FRAGMENT_RUN_SUCCESSFULLY")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A Chromium for one file of tests: Playwright keeps an event loop running that other tests must not meet."""
    program = shutil.which("chromium") or shutil.which("chromium", path="/usr/bin:/usr/local/bin")
    if program is None:
        _missing("chromium is not installed. Install it with: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Visitor:
    """Somebody with a browser of their own: a context, whose tabs share its cookies.

    Args:
        chromium: The fixture.
        url: Of a Streamlit server, without a path.
    """

    def __init__(self, chromium: Browser, url: str) -> None:
        self.url = url
        self.context: BrowserContext = chromium.new_context(viewport={"width": 1280, "height": 900})
        # What is asked of other machines, fonts and icons, is not what is tested: it is nothing, at once, everywhere.
        self.context.route(lambda address: not address.startswith(url), lambda route: route.fulfill(status=204))
        self.tabs: list[Tab] = []

    def open(self, path: str = "/", *, wait: bool = True) -> "Tab":
        """Open a tab, by default waiting until the script has run."""
        tab = Tab(self.context.new_page())
        self.tabs.append(tab)
        tab.start(lambda: tab.page.goto(self.url + path, wait_until="commit"))
        if wait:
            tab.wait()
        return tab

    @property
    def cookies(self) -> dict[str, str]:
        """Name to value of what the browser holds for the server."""
        return {cookie["name"]: cookie["value"] for cookie in self.context.cookies(self.url)}

    def close(self) -> None:
        """Close the browser with all its tabs."""
        self.context.close()


class Tab:
    """A tab on a Streamlit page. It reads along what the server sends, so it knows when a run has ended.

    Attributes:
        page: Playwright's page.
        begun: Streamlit's id of the tab, for each run that the server told of when it began.
        runs: The same for each that ended, with Streamlit's word for it; not for those that a quick user cut short.
        console: What the browser's console says, as (kind, text); addresses are left out.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.begun: list[str] = []
        self.runs: list[tuple[str, str]] = []
        self.console: list[tuple[str, str]] = []
        self._app_session_id = ""
        self._waited_for = 0
        page.on("websocket", self._listen)
        page.on("console", lambda message: self.console.append((message.type, _plain(message.text))))
        page.on("pageerror", lambda error: self.console.append(("pageerror", _plain(str(error)))))

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._hear)

    def _hear(self, payload: Any) -> None:
        message = ForwardMsg.FromString(payload if isinstance(payload, bytes) else payload.encode())
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._app_session_id = message.new_session.initialize.session_id or self._app_session_id
            self.begun.append(self._app_session_id)
        elif kind == "script_finished":
            self.runs.append((self._app_session_id, _STATUS.Name(message.script_finished)))

    def start(self, action: Callable[[], object]) -> None:
        """Do what makes the script run; `wait()` waits for it. Others may start something meanwhile."""
        self._waited_for = self._ended()
        action()

    def _ended(self) -> int:
        # A run that is followed at once by another one is not what a user waits for; a fragment's comes by itself.
        return sum(_STATUS.Value(status) not in (_FOLLOWED, _FRAGMENT) for _, status in self.runs)

    def wait(self, runs: int = 1, timeout_s: float = WAIT_S) -> None:
        """Wait until so many runs of the whole script have ended since `start`, and the page shows it."""
        self.until(lambda: self._ended() >= self._waited_for + runs, timeout_s)
        self.page.wait_for_selector(_IDLE, timeout=timeout_s * 1000)

    def until(self, seen: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
        """Wait until something is seen; the browser goes on meanwhile."""
        deadline = time.monotonic() + timeout_s
        while not seen():
            if time.monotonic() > deadline:
                raise AssertionError(f"nothing after {timeout_s:g} s; runs: {self.runs}; the page says:\n{self.text()}")
            self.page.wait_for_timeout(20)

    def act(self, action: Callable[[], object], runs: int = 1) -> None:
        """Do what makes the script run, and wait until it has, so many times."""
        self.start(action)
        self.wait(runs)

    def wait_for_connection(self, *, lost: bool = False) -> None:
        """Wait until the page is connected to the server, or has noticed that it is not any more."""
        state = '[data-test-connection-state="CONNECTED"]'
        self.page.wait_for_selector(f":not({state})[data-test-connection-state]" if lost else state)

    def click(self, name: str) -> None:
        """Press the first button of this name, and wait."""
        self.act(lambda: self.button(name).click())

    def button(self, name: str, *, exact: bool = False) -> Any:
        """The first button of this name."""
        return self.page.get_by_role("button", name=name, exact=exact).first

    def link(self, page: str) -> Any:
        """A page's link in the navigation."""
        return self.page.get_by_test_id("stSidebarNav").get_by_role("link", name=page)

    def go(self, page: str) -> None:
        """Choose a page in the navigation, and wait."""
        self.act(lambda: self.link(page).click())

    def choose(self, label: str, option: str) -> None:
        """Choose an option of a select box, and wait."""
        self.page.get_by_role("combobox", name=label).click()
        self.act(lambda: self.page.get_by_role("option", name=option, exact=True).click())

    def refresh(self) -> None:
        """Load the page anew, and wait."""
        self.act(lambda: self.page.reload(wait_until="commit"))

    def text(self) -> str:
        """What the page says."""
        said: str = self.page.inner_text('[data-testid="stApp"]')
        return said

    @property
    def fragment_runs(self) -> int:
        """How many runs of fragments have ended well."""
        return sum(_STATUS.Value(status) == _FRAGMENT for _, status in self.runs)


def _plain(text: str) -> str:
    return re.sub(r"https?://\S+", "", text)
