"""What is known only after Flask has opened its session: the user, and a session id that comes from the application.

The application's session is read without marking it as accessed, so that no `Vary: Cookie` is added.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import flask

from otel_session import attributes as names
from otel_session import context as here
from otel_session import ids, propagation, tallies
from otel_session._guard import report
from otel_session.config import Config
from otel_session.context import Identity
from otel_session.instrumentors.flask.request import ENVIRON_KEY, ServedRequest

_log = logging.getLogger("otel_session")
_FLASK_LOGIN_KEY = "_user_id"
_told: set[str] = set()


def wanted(settings: Config) -> bool:
    """Whether a request has anything to look up; the common case asks no more than this."""
    return (
        settings.source == "app"
        or settings.user not in ("auto", "off")
        or (settings.user == "auto" and "flask_login" in sys.modules)
    )


def complete(app: Any, settings: Config) -> ServedRequest | None:
    """Give the current request its user and, with source `app`, its session. Never raises.

    Returns:
        The request, when its context changed.
    """
    try:
        environ = flask.request.environ
        request = environ.get(ENVIRON_KEY)
        identity = here.current()
        if identity is None:
            return None
        key = settings.secret or app.secret_key
        _name_user(identity, settings, key)
        changed = settings.source == "app" and identity.session_id is None and _adopt(identity, settings, key)
        span = request.span if isinstance(request, ServedRequest) else None
        if span is not None and span.is_recording():
            span.set_attributes(identity.request_attributes())
        if not changed or not isinstance(request, ServedRequest):
            return None
        request.context = here.put(identity, request.context, in_baggage=settings.baggage)
        return request
    except Exception:
        report("flask.known_later")
        return None


def _adopt(identity: Identity, settings: Config, key: str | bytes | None) -> bool:
    opened = _opened_session()
    raw = getattr(opened, "sid", None) if settings.app_key is None else _peek(opened, settings.app_key)
    if raw is None:
        _tell_once(
            "OTEL_SESSION_SOURCE is app, and this application's session has no id of its own (it is a signed "
            "cookie, or has no entry of that name); name an entry that identifies it in OTEL_SESSION_APP_KEY."
        )
        return False
    if not key:
        tallies.count_refused("app")
        _tell_once(
            "OTEL_SESSION_SOURCE is app, and there is no key to hash its id with; "
            "set OTEL_SESSION_SECRET or Flask's SECRET_KEY."
        )
        return False
    propagation.adopt(identity, ids.keyed_hash("session:" + str(raw), key))
    return True


def _name_user(identity: Identity, settings: Config, key: str | bytes | None) -> None:
    user = None
    if settings.user.startswith("callable:"):
        user = propagation.load_callable(settings.user.removeprefix("callable:"))()
    elif settings.user == "auto" and "flask_login" in sys.modules:
        user = _peek(_opened_session(), _FLASK_LOGIN_KEY)
    if user is None:
        return
    if settings.user_form == "raw":
        identity.set_user(names.USER_ID, str(user)[:128])
    elif key:
        identity.set_user(names.USER_HASH, ids.keyed_hash("user:" + str(user), key))


def _opened_session() -> Any:
    # The proxy's target, looked up without the context's own `session` property, which marks it as accessed.
    from flask.globals import request_ctx  # in every Flask since 2.2

    proxy: Any = request_ctx
    context = proxy._get_current_object()
    return context.__dict__.get("session") or context.__dict__.get("_session")


def _peek(opened: Any, key: str) -> Any:
    return dict.get(opened, key) if isinstance(opened, dict) else None


def _tell_once(text: str) -> None:
    if text not in _told:
        _told.add(text)
        _log.warning(text)
