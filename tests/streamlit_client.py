"""A browser for a real Streamlit server, without a browser: it loads the page, keeps cookies and speaks the websocket.

Needs `streamlit` (for its protocol messages) and `websockets` (which Streamlit brings).

    browser = Browser("http://127.0.0.1:8501")
    tab = browser.open()            # loads the page and waits until the script has run
    tab.set("name", "Ada")          # a widget by its key or label; waits for the rerun
    tab.click("Save")
    tab.texts()                     # what the page shows
    tab = tab.refresh()             # the browser's F5: same cookies, new websocket
"""

import contextlib
import http.cookiejar
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect

from otel_session import visits

WAIT_S = 30
_RUN_AGAIN = ForwardMsg.ScriptFinishedStatus.Value("FINISHED_EARLY_FOR_RERUN")
_FRAGMENT_DONE = ForwardMsg.ScriptFinishedStatus.Value("FINISHED_FRAGMENT_RUN_SUCCESSFULLY")
# The widgets whose value a page sends along from its first look at them, and the field it sends it in.
_DEFAULTS = {
    "checkbox": "bool_value",
    "text_input": "string_value",
    "text_area": "string_value",
    "slider": "double_array_value",
    "number_input": "double_value",
}
_SHOWN = ("markdown", "text", "heading", "alert", "metric", "exception", "code")


class Browser:
    """One browser: a cookie jar. Its tabs share it, as a second tab or a refresh does.

    Args:
        url: Of the server, without a path.

    Attributes:
        headers: What it sends with each handshake, as a proxy in between would.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.jar = http.cookiejar.CookieJar()
        self.headers: dict[str, str] = {}
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def get(self, path: str = "/", **headers: str) -> Any:
        """GET a path; gives status, `headers` and, read, `body`."""
        with self._opener.open(urllib.request.Request(self.url + path, headers=headers), timeout=WAIT_S) as response:
            response.body = response.read()
            return response

    @property
    def cookies(self) -> dict[str, str]:
        """Name to value of what the browser holds."""
        return {cookie.name: cookie.value or "" for cookie in self.jar}

    @property
    def session_id(self) -> str:
        """The public id that belongs to our cookie."""
        visit = visits.parse(self.cookies["otel_session"], time.time())
        assert visit is not None
        return visit.session_id

    def open(self, page: str = "", query: str = "", *, load_page: bool = True) -> "Tab":
        """A new tab: load the page, connect, and wait for the first run.

        Args:
            page: Name of a page of the application; by default its first one.
            query: The address's query, without the question mark.
            load_page: Whether the page itself is asked for; False for a browser that has it cached.
        """
        if load_page:
            self.get(f"/{page}?{query}", Accept="text/html")
        self.get("/_stcore/health")  # the page asks, and gets the cookie against forged requests
        tab = Tab(self, page, query)
        tab.rerun()
        return tab


class Tab:
    """One page with its websocket.

    Attributes:
        app_session_id: Streamlit's own id of this tab, known after the first run.
        runs: How many runs the server has announced.
        page: The page's hash, as the server says.
        pages: Name to hash of the application's pages.
        timers: Fragment id to seconds of the fragments that ask to be run every so often.
    """

    def __init__(self, browser: Browser, page: str, query: str, app_session_id: str = "") -> None:
        self.browser, self.page_name, self.query = browser, page, query
        self.app_session_id = app_session_id
        self.runs = 0
        self.page = ""
        self.pages: dict[str, str] = {}
        self.timers: dict[str, float] = {}
        self._values: dict[str, WidgetState] = {}
        self._elements: dict[tuple[int, ...], tuple[Any, str, int]] = {}
        self._fragments: list[str] = []
        self._asked = ""
        self._tells_fragments = False
        self._open = contextlib.ExitStack()
        self._socket = self._open.enter_context(self._connect())

    def _connect(self) -> Any:
        cookies = "; ".join(f"{name}={value}" for name, value in self.browser.cookies.items())
        offered = ["streamlit", self.browser.cookies.get("_streamlit_xsrf", "none")]
        return connect(
            self.browser.url.replace("http", "ws", 1) + "/_stcore/stream",
            origin=self.browser.url,  # type: ignore[arg-type]
            subprotocols=[*offered, self.app_session_id] if self.app_session_id else offered,  # type: ignore[list-item]
            additional_headers={**self.browser.headers, **({"Cookie": cookies} if cookies else {})},
            max_size=None,
            open_timeout=WAIT_S,
        )

    def rerun(self, *, fragment_id: str = "", auto: bool = False, wait: bool = True) -> None:
        """Ask for a run; with a fragment id of that fragment only, `auto` as its timer does."""
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string = self.query
        asked.fragment_id = self._asked = fragment_id
        asked.page_script_hash, asked.page_name = self.page, "" if self.page else self.page_name
        if hasattr(asked, "is_auto_rerun"):
            asked.is_auto_rerun = auto
        asked.widget_states.widgets.extend(self._values.values())
        self.send(message)
        if wait:
            self.wait()

    def send(self, message: BackMsg) -> None:
        """Send a message as it is."""
        self._socket.send(message.SerializeToString())

    def tick(self) -> None:
        """What the page does when a fragment's time has come (the first of those that ask for it)."""
        self.rerun(fragment_id=next(iter(self.timers)), auto=True)

    def go(self, page: str) -> None:
        """Choose a page in the navigation."""
        self.page, self.page_name = self.pages[page], page
        self.rerun()

    def click(self, widget: str, *, wait: bool = True) -> None:
        """Press a button, also one that submits a form."""
        element, fragment_id = self._widget(widget)
        self._values[element.id] = WidgetState(id=element.id, trigger_value=True)
        self.rerun(fragment_id=fragment_id, wait=False)
        del self._values[element.id]
        if wait:
            self.wait()

    def set(self, widget: str, value: Any, *, wait: bool = True) -> None:
        """Give a widget a value; one in a form waits for its button. The protocol's field follows the value's type."""
        element, fragment_id = self._widget(widget)
        self.fill(widget, value)
        if not getattr(element, "form_id", ""):
            self.rerun(fragment_id=fragment_id, wait=wait)

    def fill(self, widget: str, value: Any) -> None:
        """Give a widget a value that goes with the next run that is asked for, whatever asks for it."""
        element, _ = self._widget(widget)
        self._values[element.id] = _state(element.id, value)

    def wait(self, timeout_s: float = WAIT_S) -> None:
        """Read until a run has ended that no other one follows at once."""
        until = time.monotonic() + timeout_s
        while True:
            message = self._receive(until)
            kind = message.WhichOneof("type")
            if kind == "script_finished" and message.script_finished != _RUN_AGAIN:
                self._forget_old(fragment_run=message.script_finished == _FRAGMENT_DONE)
                return
            self._take(kind, message)

    def settle(self, quiet_s: float = 0.3) -> None:
        """Read on until nothing has come for a while: further runs that nobody here asked for."""
        with contextlib.suppress(TimeoutError):
            while True:
                message = self._receive(time.monotonic() + quiet_s)
                self._take(message.WhichOneof("type"), message)

    def _receive(self, until: float) -> ForwardMsg:
        return ForwardMsg.FromString(self._socket.recv(timeout=max(0.01, until - time.monotonic())))

    def _take(self, kind: str | None, message: ForwardMsg) -> None:
        if kind == "new_session":
            self._begin(message.new_session, message.metadata)
        elif kind == "delta":
            self._put(tuple(message.metadata.delta_path), message.delta)
        elif kind == "auto_rerun":
            self.timers[message.auto_rerun.fragment_id] = message.auto_rerun.interval
        elif kind == "navigation":
            self.page = message.navigation.page_script_hash
            self.pages = {page.page_name: page.page_script_hash for page in message.navigation.app_pages}
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string

    def _begin(self, new: Any, metadata: Any) -> None:
        self.runs += 1
        self.app_session_id = new.initialize.session_id or self.app_session_id
        self.page = new.page_script_hash
        told = metadata.run.fragment_ids if hasattr(metadata, "run") else new.fragment_ids_this_run
        # Where this protocol is newer than the server, what was asked for has to do.
        self._fragments = list(told) or [asked for asked in [self._asked] if asked and not self._tells_fragments]
        self._tells_fragments = self._tells_fragments or bool(told)
        if new.app_pages:
            self.pages = {page.page_name: page.page_script_hash for page in new.app_pages}
        if not self._fragments:
            self.timers.clear()

    def _put(self, path: tuple[int, ...], delta: Any) -> None:
        if delta.WhichOneof("type") != "new_element":
            return
        inner = getattr(delta.new_element, delta.new_element.WhichOneof("type") or "empty")
        self._elements[path] = (delta.new_element, delta.fragment_id, self.runs)
        field = _DEFAULTS.get(delta.new_element.WhichOneof("type"))
        if field and inner.id not in self._values:
            self._values[inner.id] = _state(inner.id, inner.default, field)

    def _forget_old(self, *, fragment_run: bool) -> None:
        for path, (_, fragment_id, run) in list(self._elements.items()):
            if run != self.runs and (not fragment_run or fragment_id in self._fragments):
                del self._elements[path]
        shown = {inner.id for inner in map(_inner, self._elements.values()) if _has(inner, "id")}
        self._values = {widget: value for widget, value in self._values.items() if widget in shown}

    def elements(self, kind: str) -> Iterator[Any]:
        """The page's elements of a kind such as `button` or `exception`, from top to bottom."""
        for _, (element, _, _) in sorted(self._elements.items()):
            if element.WhichOneof("type") == kind:
                yield getattr(element, kind)

    def texts(self) -> list[str]:
        """What the page says, from top to bottom; of an exception its type."""
        said = []
        for _, (element, _, _) in sorted(self._elements.items()):
            kind = element.WhichOneof("type")
            if kind in _SHOWN:
                inner = getattr(element, kind)
                said.append(
                    next(str(getattr(inner, f)) for f in ("type", "code_text", "body", "label") if _has(inner, f))
                )
        return said

    def _widget(self, name: str) -> tuple[Any, str]:
        for found in self._elements.values():
            inner, fragment_id = _inner(found), found[1]
            # An id ends with the widget's key, `None` without one.
            if _has(inner, "id") and name in (inner.id.rpartition("-")[2], getattr(inner, "label", None)):
                return inner, fragment_id
            if _has(inner, "id") and inner.id.endswith(f"-{name}"):
                return inner, fragment_id
        raise LookupError(f"no widget {name!r} on the page, which says {self.texts()}")

    def refresh(self) -> "Tab":
        """Load the page anew."""
        self.close()
        return self.browser.open(self.page_name, self.query)

    def reconnect(self) -> "Tab":
        """Lose the connection and take it up again, as the page does by itself when a server comes back."""
        self.close()
        tab = Tab(self.browser, self.page_name, self.query, self.app_session_id)
        tab._values = dict(self._values)
        tab.rerun()
        return tab

    def close(self) -> None:
        """Close the tab."""
        self._open.close()


def _inner(found: tuple[Any, str, int]) -> Any:
    return getattr(found[0], found[0].WhichOneof("type") or "empty")


def _has(inner: Any, field: str) -> bool:
    return field in inner.DESCRIPTOR.fields_by_name and not (field == "type" and type(inner).__name__ != "Exception")


def _state(widget_id: str, value: Any, field: str = "") -> WidgetState:
    state = WidgetState(id=widget_id)
    if not field:
        kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
        field = kinds.get(type(value)) or _list_field(value)
    if field.endswith("_array_value"):
        getattr(state, field).data.extend(value)
    else:
        setattr(state, field, value)
    return state


def _list_field(values: Any) -> str:
    first = next(iter(values), "")
    return {int: "int_array_value", float: "double_array_value"}.get(type(first), "string_array_value")
