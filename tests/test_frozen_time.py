"""Tests of applications freeze time, or give it as a float: nothing is lost, no leak is reported, nothing is said."""

from __future__ import annotations

import os
import pathlib
import sqlite3
import subprocess

import pytest

from tests.environments import python_with

SCRIPT = """
import logging, sys, time
logging.basicConfig()
import flask, sqlalchemy
from freezegun import freeze_time

engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.QueuePool)
app = flask.Flask("frozen")
@app.route("/deals")
def deals():
    logging.getLogger("deals").warning("asked")
    with engine.connect() as connection:
        return str(connection.execute(sqlalchemy.text("SELECT 7")).scalar())
client = app.test_client()
def ask(count):
    for _ in range(count):
        client.get("/deals")
ask(10)
kept_out = engine.connect()
if sys.argv[1] == "frozen":
    with freeze_time("2032-05-22"):
        ask(20)
        time.sleep(1)
        ask(1)
else:
    own, time.time_ns = time.time_ns, lambda: 1.7e18
    ask(21)
    time.time_ns = own
ask(5)
"""


@pytest.mark.parametrize("clock", ["frozen", "float"])
def test_all_is_kept(tmp_path: pathlib.Path, clock: str) -> None:
    """Every request, statement and log record arrives."""
    python = python_with("freezegun", extras="flask,sqlalchemy")
    store = tmp_path / "telemetry.db"
    environ = {**os.environ, "OTEL_SESSION_STORE": str(store), "OTEL_BSP_SCHEDULE_DELAY": "200"}
    launcher = str(python.parent / "opentelemetry-instrument")
    command = [launcher, str(python), "-c", SCRIPT, clock]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["WARNING:deals:asked"] * 36
    with sqlite3.connect(store) as kept:
        spans = dict(kept.execute("SELECT name, count(*) FROM spans GROUP BY name").fetchall())
        (records,) = kept.execute("SELECT count(*) FROM logs WHERE event_name = ''").fetchone()
    assert (spans["GET /deals"], spans["SELECT"], records) == (36, 36, 36)
