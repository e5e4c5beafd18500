"""Who is logged in: Streamlit's own login, an entry of `st.session_state`, or whom the application names."""

from __future__ import annotations

import logging
from typing import Any

from otel_session import attributes as names
from otel_session import ids, propagation
from otel_session._guard import report
from otel_session.config import Config
from otel_session.context import Identity

_log = logging.getLogger("otel_session")
_MAX_CHARS = 128
_told: set[str] = set()


def name_user(identity: Identity, ctx: Any, settings: Config) -> None:
    """Give a rerun its user, unless it has one. Never raises. Called in the script's thread, around the script."""
    if identity.user is not None or settings.user == "off":
        return
    try:
        if settings.user == "auto" and not ctx.user_info:
            return
        user = _find(ctx, settings.user)
        if user is not None:
            _tell(identity, str(user), settings)
    except Exception:
        report(f"finding the user (OTEL_SESSION_USER is {settings.user})")


def _find(ctx: Any, wanted: str) -> Any:
    if wanted.startswith("callable:"):
        return propagation.load_callable(wanted.removeprefix("callable:"))()
    if wanted.startswith("session:"):
        try:
            return ctx.session_state[wanted.removeprefix("session:")]
        except KeyError:
            return None
    return ctx.user_info.get("sub") or ctx.user_info.get("email")


def _tell(identity: Identity, user: str, settings: Config) -> None:
    if settings.user_form == "raw":
        identity.set_user(names.USER_ID, user[:_MAX_CHARS])
    elif settings.secret:
        identity.set_user(names.USER_HASH, ids.keyed_hash("user:" + user, settings.secret))
    elif "secret" not in _told:
        _told.add("secret")
        _log.warning("The user is not on the telemetry: there is no key to hash the id with; set OTEL_SESSION_SECRET.")
