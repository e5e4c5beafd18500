"""Deals: who sells what to whom, for a small consultancy."""

from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import config, database, formats, logs, monthly, scoring, seed
from .views import auth, deals, errors, health, reports

__all__ = ["create_app"]


def create_app(overrides: Mapping[str, Any] | None = None) -> Flask:
    """Build the application; an empty database is filled with demo data.

    Args:
        overrides: Settings that win over the environment, such as ``DATABASE_URL``.
    """
    app = Flask(__name__)
    config.init_app(app, overrides or {})
    logs.init_app(app)
    database.init_app(app)
    seed.init_app(app)
    scoring.init_app(app)
    monthly.init_app(app)
    formats.init_app(app)
    errors.init_app(app)
    for views in (auth, deals, health, reports):
        app.register_blueprint(views.blueprint)
    return app
