"""One app per test, on an SQLite file of its own."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

# `deals` is found wherever pytest is started, like by `flask --app path/to/app.py`.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from deals import create_app

MakeApp = Callable[..., Flask]
SignIn = Callable[[Flask, str], FlaskClient]


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[MakeApp]:
    """Build apps with given settings; each is closed after the test."""
    apps = []

    def make(file: str = "deals.sqlite", **settings: Any) -> Flask:
        defaults = {"DATABASE_URL": f"sqlite:///{tmp_path / file}", "SLOW_REPORT_S": 0, "SESSION_TYPE": None}
        app = create_app(defaults | settings)
        apps.append(app)
        return app

    yield make
    for app in apps:
        app.extensions["deals_scorer"].close()
        app.extensions["deals_monthly"].close()
        app.extensions["deals_engine"].dispose()


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app()


@pytest.fixture
def sign_in() -> SignIn:
    """Open a browser of its own and sign a demo user in."""

    def sign_in(app: Flask, name: str) -> FlaskClient:
        client = app.test_client()
        response = client.post("/login", data={"email": f"{name}@example.com", "password": "demo"})
        assert response.status_code == 302
        return client

    return sign_in


@pytest.fixture
def anna(app: Flask, sign_in: SignIn) -> FlaskClient:
    """A browser in which Anna is signed in."""
    return sign_in(app, "anna")


@pytest.fixture
def statements(app: Flask) -> list[str]:
    """Every SQL statement the app sends once the test has begun."""
    statements: list[str] = []

    def record(connection: object, cursor: object, statement: str, *rest: object) -> None:
        statements.append(statement)

    event.listen(app.extensions["deals_engine"], "before_cursor_execute", record)
    return statements
