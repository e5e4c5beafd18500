"""Who is signed in."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, cast

from flask import g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue

from .database import get_db
from .models import User

log = logging.getLogger(__name__)

P = ParamSpec("P")


def sign_in(user: User) -> None:
    # Nothing a visitor collected before signing in is carried over.
    session.clear()
    session["user_id"] = user.id
    g.user = user


def sign_out() -> None:
    session.clear()
    g.pop("user", None)


def current_user() -> User | None:
    """The signed-in user, read from the database once per request and only when asked for."""
    if "user" not in g:
        user_id = session.get("user_id")
        g.user = None if user_id is None else get_db().get(User, user_id)
    return cast("User | None", g.user)


def require_user() -> User:
    """The signed-in user inside a view behind `login_required`."""
    user = current_user()
    if user is None:
        raise RuntimeError("require_user() needs @login_required on the view.")
    return user


def login_required(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """Send visitors who are not signed in to the login page, and back afterwards."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        if current_user() is None:
            log.info("sign-in needed for %s", request.path)
            return redirect(url_for("auth.login", next=request.path))
        return view(*args, **kwargs)

    return guarded
