"""Where an application is built and where it runs: stamp, line and the resource of all telemetry are right in each."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from otel_session import attributes as names
from otel_session.build_stamp import read_stamp
from otel_session.store import StoreReader
from otel_session.store.decode import decode_resource
from tests.started import environ_for
from tests.test_build_stamp_repositories import ENVIRON, commit, git

PYTHON = pathlib.Path(sys.executable)
APP = """
import logging
import otel_session

with otel_session.bound_session("visit-1"), otel_session.track_operation("work"):
    logging.getLogger("app").warning("working")
print(otel_session.build_line())
"""


@dataclass(frozen=True)
class Situation:
    """How it is made, and what is to be found: the reference's name and kind, and whether the tree is dirty."""

    make: Callable[[pathlib.Path, pathlib.Path], pathlib.Path]
    name: str | None = None
    kind: str | None = None
    dirty: bool | None = False


def _worktree(clone: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    git(clone, "worktree", "add", "-q", "--detach", str(folder), "HEAD~1")
    return folder


def _shallow(clone: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    git(clone.parent, "clone", "-q", "--depth", "1", clone.as_uri(), str(folder))
    return folder


def _tag(clone: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    git(clone, "tag", "-a", "-m", "first", "v1.0")
    git(clone, "checkout", "-q", "v1.0")
    return clone


def _dirty(clone: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    (clone / "app.py").write_text(APP + "# changed\n")
    return clone


SITUATIONS = {
    "clone": Situation(lambda clone, _: clone, "main", "branch"),
    "detached worktree": Situation(_worktree),
    "shallow clone": Situation(_shallow, "main", "branch"),
    "tag": Situation(_tag, "v1.0", "tag"),
    "dirty tree": Situation(_dirty, "main", "branch", dirty=True),
}


@pytest.fixture
def clone(tmp_path: pathlib.Path) -> pathlib.Path:
    """A repository with two commits of an application."""
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / ".gitignore").write_text("build_stamp.json\ntelemetry.db*\n")
    git(folder, "add", ".gitignore")
    commit(folder, APP)
    commit(folder, APP + "\n")
    return folder


def stamped(folder: pathlib.Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    command = [PYTHON.parent / "otel-session", "build-stamp", *options]
    return subprocess.run(command, cwd=folder, env=ENVIRON, capture_output=True, text=True)


def ran(folder: pathlib.Path) -> tuple[str, list[dict[str, Any]]]:
    """Run the application there; its line, and the resources of its spans, log records and metrics."""
    store = folder / "telemetry.db"
    environ = environ_for(PYTHON, OTEL_SESSION_STORE=str(store))
    environ = {k: v for k, v in environ.items() if not k.startswith(("CI", "GITHUB_", "GITLAB_", "GIT_"))}
    command = [PYTHON.parent / "otel-session", "run", "--", PYTHON, "app.py"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with StoreReader(store) as reader:
        rows: list[Any] = [*reader.spans("visit-1"), *reader.logs("visit-1"), *reader.metrics()]
        counts = reader.counts()
    assert all(counts[kind] for kind in ("spans", "logs", "metrics"))
    for file in folder.glob("telemetry.db*"):
        os.unlink(file)
    return done.stdout.strip(), [dict(decode_resource(row.resource)) for row in rows]


def assert_resource(found: dict[str, Any], situation: Situation, revision: str) -> None:
    assert found[names.VCS_REF_HEAD_REVISION] == revision
    assert found.get(names.VCS_REF_HEAD_NAME) == situation.name
    assert found.get(names.VCS_REF_TYPE) == situation.kind
    assert found[names.SERVICE_VERSION] == (situation.name if situation.kind == "tag" else revision[:7])


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
def test_in_a_repository(situation: Situation, clone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The command, the file, the line and the resource agree; before there is a file `.git` says the same."""
    folder = situation.make(clone, tmp_path / "other")
    revision = git(folder, "rev-parse", "HEAD")
    line, resources = ran(folder)
    assert line == "Development"
    for found in resources:
        assert_resource(found, situation, revision)
        assert names.BUILD_DATE not in found

    done = stamped(folder)
    assert (done.returncode, done.stderr) == (0, "")
    stamp = read_stamp(folder / "build_stamp.json")
    assert stamp is not None
    assert (stamp.commit, stamp.revision, stamp.branch) == (revision[:7], revision, situation.name)
    assert (stamp.ref_type, stamp.dirty) == (situation.kind, situation.dirty)
    assert done.stdout.startswith(f"Build stamp generated:\n  Commit: {revision[:7]}")
    line, resources = ran(folder)
    named = f" ({situation.name})" if situation.name else ""
    assert line == f"Build: {revision[:7]}{named} - {stamp.build_date}"
    for found in resources:
        assert_resource(found, situation, revision)
        assert found[names.BUILD_DATE] == stamp.timestamp
        assert found[names.BUILD_DIRTY] is situation.dirty


def test_with_only_the_stamp(clone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A folder as in an image, the application and the stamp in it: all of it is known."""
    image = tmp_path / "image"
    image.mkdir()
    (image / "app.py").write_text(APP)
    assert stamped(clone, "--output", str(image / "build_stamp.json")).returncode == 0
    line, resources = ran(image)
    revision = git(clone, "rev-parse", "HEAD")
    assert line.startswith(f"Build: {revision[:7]} (main) - 20")
    for found in resources:
        assert_resource(found, SITUATIONS["clone"], revision)
        assert names.BUILD_DATE in found


def test_with_nothing(tmp_path: pathlib.Path) -> None:
    """Outside of git the command says so and exits with 1; the application runs, and nothing is made up."""
    (tmp_path / "app.py").write_text(APP)
    done = stamped(tmp_path)
    assert done.returncode == 1
    assert "is not in a git repository" in done.stderr
    assert not (tmp_path / "build_stamp.json").exists()
    line, resources = ran(tmp_path)
    assert line == "Development"
    for found in resources:
        assert not [name for name in found if name.startswith(("vcs.", "otel_session.build"))]
        assert names.SERVICE_VERSION not in found
