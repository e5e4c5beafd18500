"""Libraries older than we know: one line says so where one of them cannot be watched, and the rest is seen."""

from __future__ import annotations

import os
import pathlib
import sqlite3
import subprocess

import pytest

from tests.environments import python_with

OLD = ("flask==2.2.5", "werkzeug<3", "sqlalchemy==1.3.24")  # this Flask needs no blinker, and has no signals without it
APP = """
import flask, sqlalchemy
{before}
engine = sqlalchemy.create_engine("sqlite://")
app = flask.Flask("old")
@app.route("/deals")
def deals():
    return str(engine.execute("SELECT 7").scalar())
client = app.test_client()
print(client.get("/deals").data.decode(), client.get("/deals").headers.get("X-Correlation-ID") is not None)
{after}
print("__wrapped__" in vars(flask.Flask.wsgi_app))
"""
ON, OFF = "import otel_session; otel_session.instrument()", "otel_session.uninstrument()"


@pytest.mark.parametrize("by_code", [False, True], ids=["zero-code", "by one call"])
def test_too_old(tmp_path: pathlib.Path, by_code: bool) -> None:
    """SQLAlchemy 1.3 is named in one line and left alone; Flask without signals is served, seen and put back."""
    python = python_with(*OLD)
    store = tmp_path / "telemetry.db"
    script = APP.format(before=ON if by_code else "", after=OFF if by_code else "")
    launcher = [] if by_code else [str(python.parent / "opentelemetry-instrument")]
    environ = {**os.environ, "OTEL_SESSION_STORE": str(store)}
    command = [*launcher, str(python), "-W", "ignore", "-c", script]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.stdout.split() == ["7", "True", str(not by_code)], done.stderr
    assert done.stderr.count("needs SQLAlchemy 1.4 or newer; 1.3.24 is here") == 1
    assert "Traceback" not in done.stderr
    with sqlite3.connect(store) as kept:
        names = [name for (name,) in kept.execute("SELECT name FROM spans")]
    assert names == ["GET /deals"] * 2
