"""The same on every Flask we name: 2.3, 3.0, 3.1."""

import json
import pathlib
import subprocess
from typing import Any

import pytest

from tests.environments import python_with

SCENARIO = pathlib.Path(__file__).with_name("scenario.py")


def _request(name: str, status: int, told: dict[str, Any], outcome: str = "UNSET") -> dict[str, Any]:
    return {
        "name": name,
        "kind": "SERVER",
        "status": outcome,
        "told": {"http.request.method": "GET", "http.response.status_code": status, **told},
    }


CONFIRMED = {"otel_session.session.confirmed": True}
EXPECTED = [
    _request("GET /deals/<int:deal_id>", 200, {"http.route": "/deals/<int:deal_id>"}),
    _request("GET", 404, CONFIRMED),
    _request("GET /fail", 500, {"http.route": "/fail", "error.type": "LookupError", **CONFIRMED}, "ERROR"),
    _request("GET /handled", 200, {"http.route": "/handled", **CONFIRMED}),
    _request("GET /stream", 200, {"http.route": "/stream", **CONFIRMED}),
    _request("GET", 404, {}),
]


@pytest.mark.parametrize(
    "requirements",
    [("flask==2.3.*", "werkzeug<3"), ("flask==2.3.*",), ("flask==3.0.*", "werkzeug<3.1"), ("flask==3.1.*",)],
    ids=" ".join,
)
def test_visit(requirements: tuple[str, ...], tmp_path: pathlib.Path) -> None:
    """A whole visit has the same spans, ids, events and headers on each version."""
    done = subprocess.run(
        [python_with(*requirements), "-W", "error", str(SCENARIO)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    roots = told.pop("spans")
    children = [[(c["name"], c["told"]["session_store.interface"]) for c in root.pop("children")] for root in roots]
    assert roots == EXPECTED
    assert children == [[("session_store.load", "Store"), ("session_store.save", "Store")]] * len(EXPECTED)
    assert told == {
        "statuses": [200, 404, 500, 200, 200],
        "cookies": [1, 1, 0, 0, 0],
        "correlation ids are those of the spans": True,
        "one session": True,
        "previous id": True,
        "logs with ids": 4,
        "events": ["session.start", "session.end"],
        "active": 0,
    }
