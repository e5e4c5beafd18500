"""Sign in, sign out."""

import logging

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from werkzeug.security import check_password_hash

from ..access import current_user, sign_in, sign_out
from ..database import get_db
from ..forms import read_field
from ..models import User

log = logging.getLogger(__name__)
blueprint = Blueprint("auth", __name__)
blueprint.add_app_template_global(current_user)


@blueprint.get("/login")
def login() -> ResponseReturnValue:
    return render_template("login.html", email="")


@blueprint.post("/login")
def login_submit() -> ResponseReturnValue:
    email = read_field(request.form, "email")
    user = get_db().scalar(select(User).where(User.email == email.lower()))
    if user is None or not check_password_hash(user.password_hash, request.form.get("password", "")):
        log.warning("sign-in refused")
        flash("That e-mail and password do not belong together.", "error")
        return render_template("login.html", email=email), 401
    sign_in(user)
    log.info("user %d signed in", user.id)
    return redirect(_next_page())


@blueprint.post("/logout")
def logout() -> ResponseReturnValue:
    user = current_user()
    sign_out()
    if user is not None:
        log.info("user %d signed out", user.id)
    flash("You are signed out.")
    return redirect(url_for("auth.login"))


def _next_page() -> str:
    # Only a path of our own: "//host" and "/\host" lead browsers to another site.
    path = request.args.get("next", "")
    if path.startswith("/") and not path.startswith(("//", "/\\")):
        return path
    return url_for("deals.list_deals")
