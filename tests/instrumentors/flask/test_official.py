"""Beside the official Flask instrumentation: one server span, theirs, with our ids on it."""

import json
import pathlib
import subprocess
from typing import Any

import pytest

from tests.environments import python_with

SCRIPT = pathlib.Path(__file__).with_name("beside_official.py")


@pytest.fixture(scope="module", params=["theirs", "ours"])
def told(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a visit recorded, with either instrumentation switched on first."""
    python = python_with("opentelemetry-instrumentation-flask>=0.61b0", "flask-login", extras="flask")
    done = subprocess.run([python, str(SCRIPT), request.param], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_one_server_span(told: dict[str, Any]) -> None:
    """Each request has one server span, and the official instrumentation made it."""
    scope = "opentelemetry.instrumentation.flask"
    assert [(kind, made_by) for _, kind, made_by in told["spans"]] == [("SERVER", scope)] * 7
    assert told["statuses"] == [200, 404, 404, 500, 200, 200, 200]


def test_ids(told: dict[str, Any]) -> None:
    """Session and correlation ids are on their spans, the same inside the views, in logs and in streams."""
    (session_id,) = told["session ids"]
    assert told["seen inside"] == [session_id]
    assert [[one] for one in told["correlation ids"]] == told["correlation headers"]
    assert set(told["logs"]) == {session_id}
    assert told["confirmed"] == [None] + [True] * 6


def test_logs_stay_in_their_trace(told: dict[str, Any]) -> None:
    """Log lines belong to the trace of the official span, those about an unhandled error too."""
    assert told["log traces"] == [told["traces"][at] for at in (0, 3, 5)]


def test_one_cookie(told: dict[str, Any]) -> None:
    """The cookie is written once where it has to be, and not on static files."""
    assert told["cookies"] == [1, 0, 1, 0, 0, 0, 0]


def test_user(told: dict[str, Any]) -> None:
    """The user is on their span from the login on."""
    users = told["users"]
    assert users[:4] == [None] * 4
    assert len({*users[4:]}) == 1
    assert users[4] is not None
