"""Beside Logfire, whose providers are in charge: it gets every span once, with the ids; the application works."""

import json
import pathlib
import subprocess
from typing import Any

import pytest

from tests.environments import python_with

APP = """
import json, sys
import logfire, otel_session
from flask import Flask
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

theirs = InMemorySpanExporter()

def configure():
    # Its scrubber would replace every value whose key has "session" in it.
    keep = logfire.ScrubbingOptions(callback=lambda m: m.value if m.path == ("attributes", "session.id") else None)
    logfire.configure(send_to_logfire=False, console=False, inspect_arguments=False, metrics=METRICS, scrubbing=keep,
                      additional_span_processors=[SimpleSpanProcessor(theirs)])

first, second = (configure, otel_session.instrument)[::-1 if "ours-first" in sys.argv else 1]
first()
second()
app, engine = Flask("shop"), create_engine("sqlite://")
if "official" in sys.argv:
    logfire.instrument_flask(app)
    logfire.instrument_sqlalchemy(engine)

@app.get("/")
def index():
    with logfire.span("their work"), Session(engine) as orm:
        orm.execute(text("select 1")).scalar()
        return otel_session.current_session()

answer = app.test_client().get("/")
logfire.force_flush()
spans = [{"name": s.name, "kind": s.kind.name, "id": s.context.span_id, "attributes": dict(s.attributes),
          "parent": s.parent.span_id if s.parent else None} for s in theirs.get_finished_spans()]
print(json.dumps({"status": answer.status_code, "correlation": answer.headers["X-Correlation-ID"],
                  "session": answer.text, "spans": spans}, default=str))
"""


@pytest.fixture(scope="session")
def python() -> pathlib.Path:
    return python_with("logfire[flask,sqlalchemy]", "sqlalchemy==2.0.*", extras="flask,sqlalchemy")


def _run(python: pathlib.Path, folder: pathlib.Path, *words: str, metrics: str = "None") -> tuple[dict[str, Any], str]:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "OTEL_SESSION_STORE": str(folder / "telemetry.db")}
    command = [str(python), "-c", APP.replace("METRICS", metrics), *words]
    done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def _check_ids(found: dict[str, Any]) -> None:
    assert found["status"] == 200
    assert len(found["session"]) == 32
    for span in found["spans"]:
        assert span["attributes"]["correlation.id"] == found["correlation"], span["name"]
        assert span["attributes"]["session.id"] == found["session"], span["name"]


@pytest.mark.parametrize("metrics", ["None", "False"])
def test_our_spans_are_theirs(python: pathlib.Path, tmp_path: pathlib.Path, metrics: str) -> None:
    """Their provider gets our spans too, each once, one tree."""
    found, said = _run(python, tmp_path, metrics=metrics)
    spans = found["spans"]
    assert sorted(s["name"] for s in spans) == ["GET /", "SELECT", "connect", "sqlalchemy.unit_of_work", "their work"]
    by_name = {s["name"]: s for s in spans}
    assert by_name["their work"]["parent"] == by_name["GET /"]["id"]
    assert by_name["sqlalchemy.unit_of_work"]["parent"] == by_name["their work"]["id"]
    assert by_name["connect"]["parent"] == by_name["sqlalchemy.unit_of_work"]["id"]
    assert by_name["SELECT"]["parent"] == by_name["sqlalchemy.unit_of_work"]["id"]
    _check_ids(found)
    assert "otel-session failed" not in said


def test_beside_their_instrumentations(python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """`logfire.instrument_flask()` and `instrument_sqlalchemy()` switched on as well: no span is doubled."""
    found, said = _run(python, tmp_path, "official")
    spans = found["spans"]
    assert [s["kind"] for s in spans].count("SERVER") == 1
    assert sum("db.statement" in s["attributes"] or "db.query.text" in s["attributes"] for s in spans) == 1
    _check_ids(found)
    assert "otel-session failed" not in said


def test_ours_first(python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """OpenTelemetry lets nobody replace a provider: each has its own spans then, and theirs carry the ids."""
    found, said = _run(python, tmp_path, "ours-first")
    assert [s["name"] for s in found["spans"]] == ["their work"]
    _check_ids(found)
    assert "otel-session failed" not in said
