"""The pages that are open in browsers: what Streamlit calls an AppSession, one websocket at a time."""

from __future__ import annotations

import hashlib
import weakref
from collections import OrderedDict
from collections.abc import Callable
from threading import RLock
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from otel_session import attributes as names
from otel_session.propagation import Incoming
from otel_session.wire.entries import Part
from otel_session.wire.parts import shared_part

_MOST = 10_000


class Tab:
    """One open page.

    Attributes:
        app_session_id: Streamlit's own id. Who knows it can take the page over, so only a hash of it is told.
        part: What each of its spans says of it.
        incoming: Its last handshake, as far as it says who this is.
        context: What that handshake carried as baggage.
        environ: The same as a WSGI environ, for `propagation.identify_again`.
        visit_id: The public id of the visit that the handshake's cookie stands for, or None.
        session_id: The session of its last rerun.
        previous: The span of its last rerun, None when that was not recorded.
        page_hash: The page of its last rerun.
        runs: How many reruns have begun.
        brought: Widgets whose change its last rerun found, where a timer asked for that. The page sends what a user
            changes a moment later; a timer in between brings it first, and the user's own rerun finds no change.
    """

    def __init__(self, app_session_id: str) -> None:
        hashed = hashlib.sha256(b"otel-session.tab:" + app_session_id.encode()).hexdigest()[:16]
        self.app_session_id = app_session_id
        self.part: Part = shared_part({names.TAB_ID: hashed})
        self.incoming: Incoming | None = None
        self.context = Context()
        self.environ: dict[str, str] = {}
        self.visit_id: str | None = None
        self.session_id: str | None = None
        self.previous: SpanContext | None = None
        self.page_hash = ""
        self.runs = 0
        self.brought: list[str] = []
        self._client: Callable[[], Any] = _nobody

    def is_of(self, client: Any) -> bool:
        """Whether its handshake is that of this connection; a lost connection changes nothing."""
        return self.incoming is not None and (client is None or self._client() is client)

    def connected_by(self, client: Any) -> None:
        """Remember whose handshake was read."""
        self._client = _nobody if client is None else weakref.ref(client)


def _nobody() -> None:
    return None


class Tabs:
    """All open pages, the 10,000 used last at most. Safe from any thread."""

    def __init__(self) -> None:
        self._tabs: OrderedDict[str, Tab] = OrderedDict()
        # The garbage collector may shut an AppSession down, and close its tab, in the middle of anything here.
        self._lock = RLock()

    def of(self, app_session_id: str) -> Tab:
        """The tab of an AppSession, made at its first run."""
        found = self._tabs.get(app_session_id)
        if found is not None:
            return found
        with self._lock:
            found = self._tabs.setdefault(app_session_id, Tab(app_session_id))
            while len(self._tabs) > _MOST:
                self._tabs.popitem(last=False)
        return found

    def close(self, app_session_id: str) -> None:
        """Forget one: its AppSession was shut down."""
        with self._lock:
            self._tabs.pop(app_session_id, None)

    def all(self) -> list[Tab]:
        """Those known now, connected or not."""
        with self._lock:
            return list(self._tabs.values())
