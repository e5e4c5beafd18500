"""The commit in log lines is the one on the telemetry, and never in a line's way."""

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from otel_session.logs import _commit

CODE = (
    "import json, logging, sys\n"
    "from otel_session.build_stamp import BuildStampDetector\n"
    "from otel_session.logs import JsonFormatter\n"
    "logging.getLogger().addHandler(handler := logging.StreamHandler(sys.stdout))\n"
    "handler.setFormatter(JsonFormatter())\n"
    "logging.warning('x')\n"
    "print(json.dumps(dict(BuildStampDetector().detect().attributes)))\n"
)


def printed(folder: pathlib.Path, **variables: str) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=folder, env=variables, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("revision", ["512fbfe0123456789abcdef0123456789abcdef0", "r1234"])
def test_the_commit(revision: str, tmp_path: pathlib.Path) -> None:
    """Seven digits of a hash, another system's word whole; the same as the resource says."""
    line, resource = printed(tmp_path, OTEL_SESSION_BUILD_COMMIT=revision)
    assert line["commit"] == (revision[:7] if len(revision) == 40 else revision)
    assert resource["vcs.ref.head.revision"] == revision


def test_no_commit(tmp_path: pathlib.Path) -> None:
    """A folder with nothing: null."""
    line, resource = printed(tmp_path)
    assert (line["commit"], resource) == (None, {})


def test_a_broken_stamp(tmp_path: pathlib.Path) -> None:
    """A stamp that cannot be read is said once, by logging itself, while the formatter is made."""
    (tmp_path / "build_stamp.json").write_text("{")
    first, *rest = (
        subprocess.run([sys.executable, "-c", CODE], cwd=tmp_path, env={}, capture_output=True, text=True).stdout
    ).splitlines()
    assert "cannot be used as a build stamp" in first
    assert json.loads(rest[0])["commit"] is None


def test_a_failure_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails while the commit is found out costs the commit, not the line."""

    def fail() -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(_commit, "_known", ())
    monkeypatch.setattr("otel_session.build_stamp.running_commit", fail)
    assert _commit.running_commit() is None
