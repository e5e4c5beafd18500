"""One browser's visit as its cookie holds it: the secret, when it began, when it was last used.

The cookie's value is `1.SECRET.START.LAST[.PREVIOUS]`: 22 characters of URL-safe base64, two times in hexadecimal
seconds since the epoch, and the public id of the session before, if one expired.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from otel_session import ids

_VALUE = re.compile(r"1\.([A-Za-z0-9_-]{22})\.([0-9a-f]{8,10})\.([0-9a-f]{8,10})(?:\.([0-9a-f]{32}))?")
_CLOCK_SKEW_S = 300
"""Workers' clocks differ; a time further in the future than this was not written by us."""


class Visit(NamedTuple):
    """A visit. Times are whole seconds since the epoch; `last_s == start_s` until the cookie came back once."""

    secret: bytes
    start_s: int
    last_s: int
    previous_id: str | None = None

    def __repr__(self) -> str:
        return f"Visit of session {self.session_id[:8]}"  # the secret is nobody's to read

    @property
    def session_id(self) -> str:
        """The public id, 32 hex digits."""
        return ids.session_id_of(self.secret)

    @property
    def confirmed(self) -> bool:
        """Whether the cookie was brought back before the request at hand."""
        return self.last_s > self.start_s

    def used(self, now_s: int) -> Visit:
        """The same visit, used now; always later than its start, so that it counts as confirmed."""
        return Visit(self.secret, self.start_s, max(now_s, self.start_s + 1), self.previous_id)

    def ended(self, now_s: float, *, idle_s: float, lifetime_s: float) -> str | None:
        """Why the visit is over: `idle`, `lifetime`, or None while it goes on."""
        if now_s - self.last_s > idle_s:
            return "idle"
        if now_s - self.start_s > lifetime_s:
            return "lifetime"
        return None

    def cookie_value(self) -> str:
        """The value for the cookie, at most 80 ASCII characters."""
        secret = base64.urlsafe_b64encode(self.secret).rstrip(b"=").decode()
        value = f"1.{secret}.{self.start_s:08x}.{self.last_s:08x}"
        return f"{value}.{self.previous_id}" if self.previous_id else value


def new_visit(now_s: float) -> Visit:
    """A visit that begins now, with a new secret."""
    second = int(now_s)
    return Visit(ids.new_secret(), second, second)


def next_visit(over: Visit, now_s: float, *, idle_s: float) -> Visit:
    """The visit after one that is over.

    Its secret is derived, not drawn: a page that wakes up sends several requests at once, each with the old cookie,
    and whichever process serves them has to give the same new id. It changes with the idle time, so that a client
    that never takes the new cookie does not stay in one session for ever.
    """
    second = int(now_s)
    return Visit(ids.next_secret(over.secret, second // max(1, int(idle_s))), second, second, over.session_id)


def parse(value: str, now_s: float) -> Visit | None:
    """The visit of a cookie's value, or None when the value is not one of ours."""
    match = _VALUE.fullmatch(value)
    if match is None:
        return None
    coded, start, last, previous_id = match.groups()
    try:
        secret = base64.urlsafe_b64decode(coded + "==")
    except (binascii.Error, ValueError):
        return None
    start_s, last_s = int(start, 16), int(last, 16)
    if last_s < start_s or last_s > now_s + _CLOCK_SKEW_S:
        return None
    return Visit(secret, start_s, last_s, previous_id)
