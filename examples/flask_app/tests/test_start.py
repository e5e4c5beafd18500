"""Starting: as a command, twice, side by side, and with other settings."""

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from deals.models import Deal, User
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.orm import Session

MakeApp = Callable[..., Flask]
SignIn = Callable[[Flask, str], FlaskClient]
FOLDER = Path(__file__).resolve().parent.parent
FORM = {"title": "Chatbot pilot", "client": "Auer Construction", "value": "45000"}


def count_rows(engine: Engine) -> dict[str, int]:
    with Session(engine) as db:
        users, deals = (db.scalars(select(func.count(model.id))).one() for model in (User, Deal))
    return {"users": users, "deals": deals}


def test_seeded_once(make_app: MakeApp, sign_in: SignIn) -> None:
    """Starting again on the same file keeps the data and adds nothing."""
    sign_in(make_app(), "anna").post("/deals/new", data=FORM)
    assert count_rows(make_app().extensions["deals_engine"]) == {"users": 5, "deals": 13}


def test_two_apps(make_app: MakeApp, sign_in: SignIn) -> None:
    """Two apps in one process keep their data apart."""
    first, second = make_app("first.sqlite"), make_app("second.sqlite")
    sign_in(first, "anna").post("/deals/new", data=FORM)
    assert count_rows(first.extensions["deals_engine"])["deals"] == 13
    assert count_rows(second.extensions["deals_engine"])["deals"] == 12


def test_server_side_sessions(make_app: MakeApp, sign_in: SignIn, tmp_path: Path) -> None:
    """With a session type set, the cookie holds only a key and the login survives in the store."""
    pytest.importorskip("flask_session")
    pytest.importorskip("cachelib")
    app = make_app(SESSION_TYPE="filesystem", SESSION_FILE_DIR=str(tmp_path / "sessions"))
    client = sign_in(app, "lena")
    assert "Lena Fischer" in client.get("/deals").text
    cookie = client.get_cookie("session")
    assert cookie is not None
    # Flask's own signed cookie has two dots.
    assert "." not in cookie.value
    assert list((tmp_path / "sessions").iterdir())
    client.post("/logout")
    assert client.get("/deals").status_code == 302


def test_starts_as_a_flask_command(tmp_path: Path) -> None:
    """``flask --app …/app.py`` finds the app from any folder, with the database that the environment names."""
    file = tmp_path / "named.sqlite"
    environment = os.environ | {"DEALS_DATABASE_URL": f"sqlite:///{file}"}
    command = [sys.executable, "-m", "flask", "--app", str(FOLDER / "app.py"), "routes"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "/deals/<int:deal_id>" in result.stdout
    assert file.stat().st_size > 0


def test_workers_start_at_once(tmp_path: Path) -> None:
    """Four processes that start on one missing database all come up, and the data is there once."""
    url = f"sqlite:///{tmp_path / 'shared.sqlite'}"
    environment = os.environ | {"DEALS_DATABASE_URL": url}
    command = [sys.executable, "-c", "import app"]
    workers = [subprocess.Popen(command, cwd=FOLDER, env=environment) for _ in range(4)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0, 0, 0]
    engine = create_engine(url)
    assert count_rows(engine) == {"users": 5, "deals": 12}
    engine.dispose()


def test_knows_nothing_of_telemetry() -> None:
    """The app imports Flask, SQLAlchemy, their own helpers and the standard library: nothing else."""
    imported = set()
    for file in [FOLDER / "app.py", *(FOLDER / "deals").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imported.add(node.module.partition(".")[0])
    others = imported - set(sys.stdlib_module_names) - {"deals"}
    assert others == {"flask", "sqlalchemy", "werkzeug", "flask_session", "cachelib", "redis"}
