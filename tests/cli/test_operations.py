"""Operations in `otel-session show` and `sessions`: spans with what they were told, not a list of their own lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_session import attributes as names
from otel_session.cli import main
from tests.cli._samples import ERROR, Visit, exception_event, stored

ID = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
LOGGER = "otel_session.operations"


def _told(name: str, **metadata: object) -> dict[str, object]:
    return {names.OPERATION_NAME: name, **{f"operation.metadata.{key}": value for key, value in metadata.items()}}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A request with an operation that completes, one that fails and one that is cancelled."""
    visit = Visit(ID)
    page = visit.request("POST", "/import", 0, 40)
    outer = visit.span("import", 1, 38, parent=page, attributes=_told("import", rows=6, source="ftp", note="a\nb"))
    visit.log(outer, "import_start", 1, logger=LOGGER, attributes={"operation": "import"})
    event = exception_event(9, "ConnectionError", "mail server refused")
    failed = visit.span(
        "notify", 5, 4, parent=outer, error=True, message="mail", attributes=_told("notify"), events=[event]
    )
    visit.log(failed, "notify_failed", 9, severity=ERROR, logger="deals.mail", attributes={"operation": "notify"})
    visit.log(failed, "notify by hand", 8, attributes={"operation": "notify"})
    cancelled = {**_told("wait"), names.OPERATION_OUTCOME: names.OPERATION_CANCELLED}
    visit.span("wait", 10, 5, parent=outer, attributes=cancelled)
    visit.log(outer, "PERF: prices took 0.01s", 20, logger="otel_session.perf", attributes={"operation": "prices"})
    visit.log(outer, "other_start", 21, attributes={"operation": "other"})
    visit.log(outer, "import_complete", 39, logger=LOGGER, attributes={"operation": "import"})
    return stored(tmp_path / "t.db", visit)


def _shown(store: Path, capsys: pytest.CaptureFixture[str], *also: str) -> str:
    assert main(["show", ID, "--store", str(store), "--width", "150", *also]) == 0
    return capsys.readouterr().out


def test_an_operations_own_lines_are_left_to_full(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Start, complete and failed line stand in full only; other lines of the same operation always."""
    out = _shown(store, capsys)
    for line in ("import_start", "import_complete", "notify_failed"):
        assert line not in out
    for line in ("notify by hand", "PERF: prices took 0.01s", "other_start"):
        assert line in out
    assert "--full" in out
    full = _shown(store, capsys, "--full")
    assert all(line in full for line in ("import_start", "import_complete", "notify_failed"))


def test_metadata_and_ending(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Metadata stands beside the name on one line, and so does how it ended, where that is worth a word."""
    out = _shown(store, capsys)
    assert "import  note=a rows=6 source=ftp\n" in out
    assert "wait → cancelled\n" in out
    assert "ConnectionError: mail server refused" in out


def test_they_are_the_applications_lines(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are counted as log lines; those of our own logger are not."""
    assert "logs      6 lines, 1 error\n" in _shown(store, capsys)
