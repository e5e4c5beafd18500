"""The build as applications show it: a line, JSON, and Flask templates (feature A4)."""

from __future__ import annotations

import json
import pathlib
import re

import pytest
from flask import Flask, jsonify, render_template_string

import otel_session
from otel_session import config
from otel_session.build_stamp import _warning as warning
from otel_session.instrumentors.flask import init_build_line

LINE = "Build: 512fbfe (main) - 2025-12-16 07:26:50 UTC"
STAMP = {"commit": "512fbfe", "branch": "main", "timestamp": "2025-12-16T07:26:50.123456+00:00"}
PAGE = "<footer>{{ build_line() }}</footer>{{ build_info().commit }}"
DOCS = pathlib.Path(__file__).resolve().parents[1] / "docs" / "build-stamp.md"


@pytest.fixture(autouse=True)
def place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Where the stamp of each test is, if it puts one there."""
    path = tmp_path / "build_stamp.json"
    monkeypatch.setenv("OTEL_SESSION_BUILD_STAMP", str(path))
    monkeypatch.setattr(warning, "_said", set())
    config.activate(None)
    monkeypatch.setattr(config, "_active", None)
    return path


def test_info(place: pathlib.Path) -> None:
    """The line and the file's keys, ready for a page of JSON."""
    place.write_text(json.dumps(STAMP))
    info = otel_session.build_info()
    assert info["build"] == otel_session.build_line() == LINE
    assert {key: info[key] for key in STAMP} == STAMP
    assert json.loads(json.dumps(info)) == info


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"commit": 5}', "\0"], ids=repr)
def test_without_a_stamp_that_can_be_used(place: pathlib.Path, content: str | None) -> None:
    """`Development`, with the same keys, all None."""
    if content is not None:
        place.write_text(content)
    info = otel_session.build_info()
    assert info.pop("build") == otel_session.build_line() == "Development"
    assert set(info.values()) == {None}
    assert {"commit", "branch", "timestamp", "build_date", "revision", "dirty", "repository"} <= set(info)


def _app() -> Flask:
    app = Flask(__name__)
    init_build_line(app)
    app.add_url_rule("/", view_func=lambda: render_template_string(PAGE))
    return app


def test_flask_templates(place: pathlib.Path) -> None:
    """One call, and every template can show it; the stamp is read once."""
    place.write_text(json.dumps(STAMP))
    client = _app().test_client()
    assert client.get("/").text == f"<footer>{LINE}</footer>512fbfe"
    place.unlink()
    assert client.get("/").text == f"<footer>{LINE}</footer>512fbfe"


def test_flask_templates_without_a_stamp() -> None:
    """`Development`, and nothing breaks."""
    assert _app().test_client().get("/").text == "<footer>Development</footer>None"


def test_a_branch_name_is_escaped(place: pathlib.Path) -> None:
    """A branch may be called anything that git allows; in a page it stays text."""
    place.write_text(json.dumps({**STAMP, "branch": "<script>x</script>"}))
    assert "<script>" not in _app().test_client().get("/").text


def test_nothing_of_jinja_is_made_early() -> None:
    """The call leaves the application's Jinja environment to be set up, and two applications apart."""
    app = Flask(__name__)
    init_build_line(app)
    init_build_line(app)
    assert "jinja_env" not in vars(app)


def test_example_of_the_page(place: pathlib.Path) -> None:
    """The Python block of docs/build-stamp.md runs."""
    place.write_text(json.dumps(STAMP))
    (code,) = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    namespace: dict[str, object] = {"__name__": "page"}
    exec(compile(code, str(DOCS), "exec"), namespace)
    app = namespace["app"]
    assert isinstance(app, Flask)
    answer = app.test_client().get("/info").json
    assert answer is not None
    assert answer["build"] == LINE
    assert jsonify is namespace["jsonify"]
