"""What docs/logs.md says is so."""

import json
import logging
import pathlib
import re
from typing import Any

import pytest

import otel_session
from otel_session.logs import _fields

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "logs.md").read_text()


def test_logging_configuration(
    fresh_logging: logging.Logger, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The configuration on the page runs as it stands, and its three handlers write what it promises."""
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(import logging\.config.*?)```", PAGE, re.DOTALL)
    exec(code, {})
    with otel_session.bound_session("a1b2c3d4" * 4):
        fresh_logging.info("hello")
    for handler in logging.getLogger().handlers:
        handler.flush()
    line = json.loads((tmp_path / "app.jsonl").read_text())
    assert (line["message"], line["session_id"], line["service"]) == ("hello", "a1b2c3d4" * 4, "shop")
    assert capsys.readouterr().err == "[a1b2c3d4] INFO hello\n"
    assert (tmp_path / "audit.log").read_text() == "a1b2c3d4 anonymous - hello\n"


def test_masking_example() -> None:
    """The example of masking prints what stands beside it."""
    code, said = re.findall(r"(from otel_session\.masking import mask\n\nmask\(.*?\))  # (.*)", PAGE)[0]
    lines = code.splitlines()
    scope: dict[str, Any] = {}
    exec(lines[0], scope)
    assert repr(eval(lines[-1], scope)) == said


def test_every_field_is_there() -> None:
    """Each field of a JSON line has its place in the table."""
    assert {name for name in _fields.TAKEN if f"`{name}`" not in PAGE} == set()
