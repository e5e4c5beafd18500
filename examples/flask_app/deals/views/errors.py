"""Error pages in the application's own look."""

from flask import Flask, render_template
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound


def init_app(app: Flask) -> None:
    app.register_error_handler(NotFound, not_found)
    app.register_error_handler(InternalServerError, internal_error)


def not_found(error: HTTPException) -> ResponseReturnValue:
    return render_template("error.html", title="Not found", text="There is no such page or deal."), 404


def internal_error(error: HTTPException) -> ResponseReturnValue:
    # Not error.html: its navigation asks the database who is signed in, and the database may be what failed.
    return render_template("broken.html"), 500
