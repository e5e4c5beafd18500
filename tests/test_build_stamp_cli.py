"""`otel-session build-stamp`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path

import pytest

from otel_session.build_stamp import read_stamp
from otel_session.cli import build_stamp


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    build_stamp.add_arguments(parser)
    return build_stamp.run(parser.parse_args(words))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, and no CI service around it."""
    for name in list(os.environ):
        if name.startswith(("GITHUB_", "CI", "OTEL_SESSION_BUILD_", "GIT_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "app.py").touch()
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    for command in (["init", "-q", "-b", "main"], ["add", "app.py"], [*identity, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_report(repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It writes the file into the working directory and prints commit, branch and date."""
    monkeypatch.chdir(repository)
    assert run() == 0
    stamp = read_stamp(repository / "build_stamp.json")
    assert stamp is not None
    assert capsys.readouterr() == (
        f"Build stamp generated:\n  Commit: {stamp.commit}\n  Branch: main\n  Date:   {stamp.build_date}\n",
        "",
    )


def test_report_of_a_tag_and_of_changes(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tag is called one, uncommitted changes are said, and a head without a name is called detached."""
    subprocess.run(["git", "checkout", "-q", "--detach"], cwd=repository, check=True)
    (repository / "app.py").write_text("changed")
    assert run("--folder", str(repository)) == 0
    out = capsys.readouterr().out
    assert "(with uncommitted changes)\n" in out
    assert "  Branch: (detached head)\n" in out
    subprocess.run(["git", "tag", "v1.0"], cwd=repository, check=True)
    assert run("--folder", str(repository)) == 0
    assert "  Tag:    v1.0\n" in capsys.readouterr().out


def test_json(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json it prints the file's content and nothing else; --output says where the file goes."""
    assert run("--folder", str(repository), "--output", str(tmp_path / "out.json"), "--json") == 0
    assert capsys.readouterr().out == (tmp_path / "out.json").read_text()
    assert json.loads((tmp_path / "out.json").read_text())["branch"] == "main"


def test_outside_of_git(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Outside of git it says so on standard error, returns non-zero and writes nothing."""
    assert run("--folder", str(tmp_path)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"otel-session build-stamp: {tmp_path} is not in a git repository")
    assert list(tmp_path.iterdir()) == []
