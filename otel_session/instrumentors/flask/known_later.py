"""What is known only after Flask has opened its session: the user, and a session id that comes from the application.

The application's session is read without marking it as accessed, so that no `Vary: Cookie` is added.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import flask
from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_session import attributes as names
from otel_session import context as here
from otel_session import ids, propagation, tallies
from otel_session._guard import guarded, report
from otel_session.config import Config
from otel_session.context import Identity
from otel_session.instrumentors.flask.request import ENVIRON_KEY, ServedRequest

_log = logging.getLogger("otel_session")
_FLASK_LOGIN_KEY = "_user_id"
_told: set[str] = set()


def before(app: Any, settings: Config) -> None:
    """Give the current request its user and, with source `app`, its session. Never raises.

    A context that changes is left attached: the request's end restores what was there.
    """
    identity = _here_in_request()
    if identity is None:
        return
    try:
        _name_user(identity, settings, settings.secret or app.secret_key)
    except Exception:
        report(f"finding the user (OTEL_SESSION_USER is {settings.user})")
    _look_for_session(identity, app, settings)


def after(app: Any, settings: Config) -> None:
    """Look once more: a login names the user and may name the session only while the request is served."""
    identity = _here_in_request()
    if identity is None:
        return
    if identity.user is None and settings.user.startswith(("auto", "session:")):
        try:
            _name_user(identity, settings, settings.secret or app.secret_key)
        except Exception:
            report(f"finding the user (OTEL_SESSION_USER is {settings.user})")
    _look_for_session(identity, app, settings)
    if identity.changed:
        _tell_official_span(identity)


def _here_in_request() -> Identity | None:
    try:
        return here.current() if flask.has_request_context() else None
    except Exception:
        report("flask.known_later")
        return None


@guarded
def _look_for_session(identity: Identity, app: Any, settings: Config) -> None:
    if settings.source != "app" or identity.session_id is not None:
        return
    request = flask.request.environ.get(ENVIRON_KEY)
    if not _adopt(identity, settings, settings.secret or app.secret_key) or not isinstance(request, ServedRequest):
        return
    request.context = here.put(identity, request.context, in_baggage=settings.baggage)
    otel_context.attach(here.put(identity, in_baggage=settings.baggage))


@guarded
def _tell_official_span(identity: Identity) -> None:
    # Our own span is told at its end.
    request = flask.request.environ.get(ENVIRON_KEY)
    span = trace.get_current_span()
    if isinstance(request, ServedRequest) and request.span is None and span.is_recording():
        span.set_attributes(identity.request_attributes())


def _adopt(identity: Identity, settings: Config, key: str | bytes | None) -> bool:
    opened = _opened_session()
    raw = getattr(opened, "sid", None) if settings.app_key is None else _peek(opened, settings.app_key)
    if raw is None:
        if settings.app_key is None:
            _tell_once(
                "OTEL_SESSION_SOURCE is app, and this application's session has no id of its own (it is a signed "
                "cookie); name an entry that identifies it in OTEL_SESSION_APP_KEY."
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
        user = _ask(settings.user.removeprefix("callable:"))
    elif settings.user.startswith("session:"):
        user = _peek(_opened_session(), settings.user.removeprefix("session:"))
    elif settings.user == "auto" and "flask_login" in sys.modules:
        user = _peek(_opened_session(), _FLASK_LOGIN_KEY)
    if user is None:
        return
    if settings.user_form == "raw":
        identity.set_user(names.USER_ID, str(user)[:128])
    elif key:
        identity.set_user(names.USER_HASH, ids.keyed_hash("user:" + str(user), key))
    else:
        _tell_once(
            "The user is not on the telemetry: there is no key to hash the id with; "
            "set OTEL_SESSION_SECRET or Flask's SECRET_KEY."
        )


def _ask(spec: str) -> Any:
    opened = _opened_session()
    accessed = getattr(opened, "accessed", None)
    try:
        return propagation.load_callable(spec)()
    finally:
        # The callable is ours to ask, so its look at the application's session adds no `Vary: Cookie`.
        if accessed is False:
            opened.accessed = False


def _opened_session() -> Any:
    # The proxy's target, looked up without the context's own `session` property, which marks it as accessed.
    from flask.globals import request_ctx  # in every Flask since 2.2

    proxy: Any = request_ctx
    held = proxy._get_current_object().__dict__
    return held["session"] if "session" in held else held.get("_session")


def _peek(opened: Any, key: str) -> Any:
    return dict.get(opened, key) if isinstance(opened, dict) else None


def _tell_once(text: str) -> None:
    if text not in _told:
        _told.add(text)
        _log.warning(text)
