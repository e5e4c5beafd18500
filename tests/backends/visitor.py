"""A real HTTP client with a cookie jar, that remembers what it asked for and what it got."""

from __future__ import annotations

import http.cookiejar
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Page:
    """One answered request; a redirect is a page of its own. `trace_id` is the client's, when it began the trace."""

    method: str
    path: str
    status: int
    headers: Message
    body: bytes
    trace_id: str = ""

    @property
    def correlation_id(self) -> str:
        """What came back as X-Correlation-ID, or nothing."""
        return self.headers["X-Correlation-ID"] or ""

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode("utf-8", "replace")


@dataclass
class Visitor:
    """A browser on `url` (`http://host:port`); it keeps cookies and does not follow redirects by itself.

    Attributes:
        pages: What it has seen, in order.
        secrets: Every cookie value it was ever given.
        traces: Whether it begins each request's trace itself, as an instrumented page does (W3C `traceparent`).
    """

    url: str
    name: str = "visitor"
    headers: Mapping[str, str] = field(default_factory=dict)
    pages: list[Page] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    traces: bool = False

    def __post_init__(self) -> None:
        self.jar = http.cookiejar.CookieJar()
        cookies = urllib.request.HTTPCookieProcessor(self.jar)
        self._opener = urllib.request.build_opener(cookies, _NoRedirect())

    def get(self, path: str, **headers: str) -> Page:
        """Ask for a page."""
        return self._ask(urllib.request.Request(self.url + path, headers={**self.headers, **headers}))

    def post(self, path: str, form: Mapping[str, str] | bytes, **headers: str) -> Page:
        """Send a form, or a body as it is."""
        body = form if isinstance(form, bytes) else urllib.parse.urlencode(form).encode()
        return self._ask(urllib.request.Request(self.url + path, body, {**self.headers, **headers}))

    def cookies(self, name: str) -> list[str]:
        """The values of the cookies with this name."""
        return [cookie.value or "" for cookie in self.jar if cookie.name == name]

    def _ask(self, request: urllib.request.Request) -> Page:
        trace_id = secrets.token_hex(16) if self.traces else ""
        if trace_id:
            request.add_header("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")
        try:
            response = self._opener.open(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            path = urllib.parse.urlsplit(request.full_url).path
            page = Page(request.get_method(), path, response.status, response.headers, response.read(), trace_id)
        self.pages.append(page)
        self.secrets.update(cookie.value for cookie in self.jar if cookie.value)
        return page


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:  # each request is one page, with an id of its own
        return None


def wait_until_answers(url: str, *, timeout_s: float = 60.0) -> None:
    """Wait until a GET is answered, with whatever status."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
