"""A user's selected context (the chosen project, tenant, …), given back after a refresh or a restart of the server.

`st.session_state` is lost with the page. What was selected is kept by a keeper under the user's session; the keeper
that is here puts it, signed, into the page's address. Others (a database) have the same three methods.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Any, Protocol

from otel_session import config
from otel_session import context as here
from otel_session.exceptions import ConfigError

_KIND = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MAX_ITEM_CHARS = 256
_MAX_TOKEN_CHARS = 2_048
_SIGNATURE_BYTES = 16


class Keeper(Protocol):
    """Where selections are kept between pages."""

    def load(self, kind: str, session_ids: tuple[str, ...]) -> str | None:
        """What was selected in the session, the first of these ids, or in those that it continues; None for nothing."""

    def save(self, kind: str, session_id: str, item: str) -> None:
        """Keep an item."""

    def forget(self, kind: str, session_id: str) -> None:
        """Keep it no more."""


class Selection:
    """One kind of selected context.

        project = Selection("project", allowed=lambda item: item in my_projects())
        chosen = project.current()
        if st.button("Work on 7"):
            project.select("7")

    Args:
        kind: A short word of lower-case letters, digits and `_`.
        allowed: Asked before an item is given back after a refresh or restart: rights may be gone, items deleted.
        keeper: Where it is kept; by default signed, in the page's address, which needs `OTEL_SESSION_SECRET`.

    Raises:
        ConfigError: The kind cannot be used, or there is no secret to sign with.
    """

    def __init__(
        self, kind: str, *, allowed: Callable[[str], bool] | None = None, keeper: Keeper | None = None
    ) -> None:
        if _KIND.fullmatch(kind) is None:
            raise ConfigError(
                f"The selection's kind is {kind!r}; expected lower-case letters, digits and _, 32 at most."
            )
        self.kind = kind
        self._allowed = allowed
        self._keeper = AddressKeeper() if keeper is None else keeper
        self._key = f"_otel_session_selection_{kind}"

    def current(self) -> str | None:
        """The selected item: of this page, else as it was kept; None when nothing is selected."""
        state, session_ids = _state(), _session_ids()
        item: str | None = state.get(self._key)
        if item is None and session_ids:
            item = self._keeper.load(self.kind, session_ids)
            if item is not None and self._allowed is not None and not self._allowed(item):
                self.clear()
                return None
        if item is not None and session_ids:
            state[self._key] = item
            self._keeper.save(self.kind, session_ids[0], item)  # the session or the page may be another by now
        return item

    def select(self, item: str) -> None:
        """Select an item.

        Raises:
            ValueError: It has more than 256 characters.
        """
        if len(item) > _MAX_ITEM_CHARS:
            raise ValueError(f"The item to select has {len(item)} characters; expected {_MAX_ITEM_CHARS} at most.")
        _state()[self._key] = item
        if session_ids := _session_ids():
            self._keeper.save(self.kind, session_ids[0], item)

    def clear(self) -> None:
        """Select nothing."""
        _state().pop(self._key, None)
        if session_ids := _session_ids():
            self._keeper.forget(self.kind, session_ids[0])


class AddressKeeper:
    """Keeps a selection in the page's address, `?selected_project=…`, signed for the session it was made in.

    Who is given the address by somebody else is in another session: there the signature does not fit, and the
    selection is not taken over. The item itself can be read in it.

    Args:
        secret: Key to sign with; by default `OTEL_SESSION_SECRET`. All servers of an application need the same.

    Raises:
        ConfigError: There is none.
    """

    def __init__(self, secret: str | None = None) -> None:
        key = secret or config.active().secret
        if not key:
            raise ConfigError(
                "A selection in the address has to be signed; set OTEL_SESSION_SECRET to a long random text."
            )
        self._key = key.encode()

    def load(self, kind: str, session_ids: tuple[str, ...]) -> str | None:
        """See `Keeper`."""
        token = _query().get(_parameter(kind), "")
        coded, _, signature = token.partition(".")
        if not signature or len(token) > _MAX_TOKEN_CHARS:
            return None
        try:
            item = base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
        except (binascii.Error, ValueError):
            return None
        expected = (self._signature(kind, session_id, item) for session_id in session_ids)
        return item if any(hmac.compare_digest(known, signature.encode()) for known in expected) else None

    def save(self, kind: str, session_id: str, item: str) -> None:
        """See `Keeper`; the address is written only when it changes."""
        coded = base64.urlsafe_b64encode(item.encode()).rstrip(b"=")
        token = (coded + b"." + self._signature(kind, session_id, item)).decode()
        if _query().get(_parameter(kind)) != token:
            _query()[_parameter(kind)] = token

    def forget(self, kind: str, session_id: str) -> None:
        """See `Keeper`."""
        if _parameter(kind) in _query():
            del _query()[_parameter(kind)]

    def _signature(self, kind: str, session_id: str, item: str) -> bytes:
        # Neither kind nor id can have a NUL: what is signed reads in one way only.
        told = f"otel-session.selection\0{kind}\0{session_id}\0{item}".encode("utf-8", "surrogatepass")
        made = hmac.new(self._key, told, hashlib.sha256).digest()[:_SIGNATURE_BYTES]
        return base64.urlsafe_b64encode(made).rstrip(b"=")


def _parameter(kind: str) -> str:
    return f"selected_{kind}"


def _session_ids() -> tuple[str, ...]:
    identity = here.current()
    if identity is None or identity.session_id is None:
        return ()
    return tuple(known for known in (identity.session_id, identity.previous_id) if known)


def _state() -> Any:
    import streamlit

    return streamlit.session_state


def _query() -> Any:
    import streamlit

    return streamlit.query_params
