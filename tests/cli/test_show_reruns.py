"""Reruns of a Streamlit application in `otel-session show`."""

from pathlib import Path

import pytest

from otel_session import attributes as names
from otel_session.cli import main
from tests.cli._samples import SERVER, Visit, stored

ID = "a1b2c3d4e5f60718293a4b5c6d7e8f90"


def test_why_and_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rerun's line says why it ran, with the widgets' keys, and how it ended; what is called inside is named."""
    visit = Visit(ID)
    told = {names.RERUN_CAUSE: "widget", names.RERUN_OUTCOME: "rerun", names.WIDGET_KEYS: ["note", "b\x1b[2Jook"]}
    rerun = visit.span("streamlit.rerun /book", at=0, took=20, kind=SERVER, attributes=told)
    take_back = {names.CODE_FUNCTION_NAME: "hours.booking.take_back"}
    visit.span(names.SPAN_CALLBACK, at=1, took=5, parent=rerun, attributes=take_back)
    visit.span(names.SPAN_CONNECTION, at=7, took=5, parent=rerun, attributes={names.CONNECTION_NAME: "sql"})
    first = {names.RERUN_CAUSE: "first_load", names.RERUN_OUTCOME: "ok"}
    visit.span("streamlit.rerun /", at=50, took=20, kind=SERVER, attributes=first)
    stored(tmp_path / "t.db", visit)
    assert main(["show", ID, "--store", str(tmp_path / "t.db")]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if "streamlit." in line]
    assert "streamlit.rerun /book → rerun" in lines[0]
    assert "widget note, b" in lines[0]
    assert "\x1b" not in lines[0]
    assert lines[1].endswith("streamlit.callback  hours.booking.take_back")
    assert lines[2].endswith("streamlit.connection  sql")
    assert lines[3].endswith("first load")
    assert "→" not in lines[3]
