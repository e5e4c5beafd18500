"""The recipes of docs/build-stamp.md: the shell part of each is run as it stands there (feature A6)."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.environments import python_with

PAGE = (pathlib.Path(__file__).resolve().parents[1] / "docs" / "build-stamp.md").read_text()
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


def blocks(heading: str, language: str) -> list[str]:
    """The fenced blocks of one language under a heading."""
    section = PAGE.partition(f"### {heading}\n")[2].partition("\n### ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def git(folder: pathlib.Path, *words: str) -> str:
    environ = {**os.environ, **GIT}
    done = subprocess.run(["git", *words], cwd=folder, env=environ, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: pathlib.Path) -> pathlib.Path:
    """What a CI service checks out: one commit, detached, of a repository whose .gitignore has the stamp."""
    folder = tmp_path / "checkout"
    (folder / "yourapp").mkdir(parents=True)
    (folder / "yourapp" / "__init__.py").touch()
    for name in ("app.py", "requirements.txt"):
        (folder / name).touch()
    (ignored,) = re.findall(r"^```gitignore\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (folder / ".gitignore").write_text(ignored)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", "https://ci:hunter2@example.com/org/app.git")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    git(folder, "checkout", "-q", "--detach")
    return folder


@pytest.fixture
def programs(tmp_path: pathlib.Path) -> pathlib.Path:
    """What a slim image has on its path once the package is installed: no git. `pip` installs nothing more."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "otel-session").symlink_to(pathlib.Path(sys.executable).parent / "otel-session")
    for name in ("sh", "env"):
        (folder / name).symlink_to(shutil.which(name) or name)
    (folder / "pip").write_text('#!/bin/sh\ntest "$*" = "install otel-session"\n')
    (folder / "pip").chmod(0o755)
    return folder


def run(script: str, folder: pathlib.Path, path: str, environ: Mapping[str, str]) -> str:
    """Run a script as CI services do: it ends at its first failure, and nothing of this machine's is set."""
    done = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), **GIT, **environ},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_right(checkout: pathlib.Path, place: pathlib.Path, branch: str | None) -> None:
    """The stamp is that of the commit, and git does not see it."""
    stamp = json.loads(place.read_text())
    assert stamp["revision"] == git(checkout, "rev-parse", "HEAD")
    assert stamp["branch"] == branch
    assert stamp["repository"] == "https://example.com/org/app"
    assert git(checkout, "status", "--porcelain") == ""


def test_woodpecker(checkout: pathlib.Path, programs: pathlib.Path) -> None:
    """The branch comes from Woodpecker; git is not in the image."""
    (block,) = blocks("Woodpecker", "yaml")
    (step,) = yaml.safe_load(block)["steps"]
    environ = {"CI": "woodpecker", "CI_COMMIT_SHA": git(checkout, "rev-parse", "HEAD"), "CI_COMMIT_BRANCH": "main"}
    said = run("\n".join(step["commands"]), checkout, str(programs), environ)
    assert "Build stamp generated:\n" in said
    assert_right(checkout, checkout / "build_stamp.json", "main")


def test_github_actions(checkout: pathlib.Path, programs: pathlib.Path) -> None:
    """The branch comes from GitHub; the artifact is the file that was written."""
    (block,) = blocks("GitHub Actions", "yaml")
    steps: list[dict[str, Any]] = yaml.safe_load(block)["jobs"]["build"]["steps"]
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SHA": git(checkout, "rev-parse", "HEAD"),
        "GITHUB_REF_NAME": "main",
        "GITHUB_REF_TYPE": "branch",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_SERVER_URL": "https://example.com",
        "GITHUB_REPOSITORY": "org/app",
    }
    script = "\n".join(step["run"] for step in steps if "run" in step)
    run(script, checkout, f"{programs}:{os.environ['PATH']}", environ)
    (artifact,) = [step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", "")]
    assert_right(checkout, checkout / artifact, "main")
    assert json.loads((checkout / artifact).read_text())["dirty"] is False


def test_gitlab(checkout: pathlib.Path, programs: pathlib.Path) -> None:
    """The branch comes from GitLab, of a merge request its source; the artifact is the file that was written."""
    (block,) = blocks("GitLab", "yaml")
    job = yaml.safe_load(block)["build-stamp"]
    environ = {
        "GITLAB_CI": "true",
        "CI_COMMIT_SHA": git(checkout, "rev-parse", "HEAD"),
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feature",
        "CI_COMMIT_REF_NAME": "refs/merge-requests/1/head",
    }
    run("\n".join(job["script"]), checkout, str(programs), environ)
    (artifact,) = job["artifacts"]["paths"]
    assert_right(checkout, checkout / artifact, "feature")


def test_dockerfile(checkout: pathlib.Path, programs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The first stage's commands make the file that the second one copies; there, without `.git`, it is right."""
    dockerfile, _ = blocks("Dockerfile", "dockerfile")
    first, second = dockerfile.split("\nFROM ")
    source, image = tmp_path / "src", tmp_path / "app"
    shutil.copytree(checkout, source)
    script = "\n".join(re.findall(r"^RUN (.*)$", first, re.MULTILINE)).replace("/src/", f"{source}/")
    run(script, source, str(programs), {})
    image.mkdir()
    for options, names in re.findall(r"^COPY (--from=stamp )?(.*) \./$", second, re.MULTILINE):
        for name in names.split():
            shutil.copy(source / name.removeprefix("/src/"), image)
        assert bool(options) == ("build_stamp" in names)
    assert {found.name for found in image.iterdir()} == {"app.py", "requirements.txt", "build_stamp.json"}
    assert_right(checkout, image / "build_stamp.json", None)
    found = detected(sys.executable, image, {})
    assert found["vcs.ref.head.revision"] == git(checkout, "rev-parse", "HEAD")


def test_dockerfile_with_arguments(checkout: pathlib.Path, programs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """What `docker build` is given becomes the image's variables, and those the resource."""
    _, dockerfile = blocks("Dockerfile", "dockerfile")
    (command,) = blocks("Dockerfile", "sh")
    git(checkout, "checkout", "-q", "main")
    (programs / "docker").write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    (programs / "docker").chmod(0o755)
    said = run(command, checkout, f"{programs}:{os.environ['PATH']}", {}).splitlines()
    given = dict(word.split("=", 1) for word in said if "=" in word)
    assert set(given) == set(re.findall(r"^ARG (\w+)$", dockerfile, re.MULTILINE))
    pairs = re.findall(r"(OTEL_SESSION_BUILD_\w+)=\$(\w+)", dockerfile)
    found = detected(sys.executable, tmp_path, {variable: given[argument] for variable, argument in pairs})
    assert found["vcs.ref.head.revision"] == git(checkout, "rev-parse", "HEAD")
    assert found["vcs.ref.head.name"] == "main"


DETECT = """\
import json
from otel_session.build_stamp import BuildStampDetector
print(json.dumps(dict(BuildStampDetector().detect().attributes)))
"""


def detected(python: str | pathlib.Path, folder: pathlib.Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """The resource attributes of a process that runs in a folder."""
    done = subprocess.run(
        [str(python), "-c", DETECT], cwd=folder, env={**environ}, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


PROJECT = """
[build-system]
requires = ["setuptools>=77", "setuptools-scm>=8"]
build-backend = "setuptools.build_meta"
[project]
name = "yourapp"
dynamic = ["version"]
[tool.setuptools]
packages = ["yourapp"]
[tool.setuptools.package-data]
yourapp = ["build_stamp.json"]
[tool.setuptools_scm]
"""


def test_setuptools_scm(checkout: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The wheel has the stamp, its version is clean, and the installed package's process says both."""
    python = python_with("build", "setuptools-scm>=8", "setuptools>=77")
    make, start = blocks("With setuptools-scm", "sh")
    git(checkout, "checkout", "-q", "main")
    (checkout / "pyproject.toml").write_text(PROJECT)
    git(checkout, "add", "pyproject.toml")
    git(checkout, "commit", "-q", "-m", "a package")
    git(checkout, "tag", "v1.2.3")
    path = f"{python.parent}:{os.environ['PATH']}"
    # What the recipe's build fetches is in the environment already.
    run(make.replace("-m build --wheel", "-m build --wheel --no-isolation"), checkout, path, {})
    (wheel,) = (checkout / "dist").glob("*.whl")
    assert wheel.name.startswith("yourapp-1.2.3-")
    site = tmp_path / "site"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel], check=True)
    *exports, last = start.splitlines()
    assert last.startswith("opentelemetry-instrument flask")
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    script = "\n".join([*exports, f"python -c '{DETECT}'"])
    found = json.loads(run(script, empty, path, {"PYTHONPATH": str(site)}))
    assert found["vcs.ref.head.revision"] == git(checkout, "rev-parse", "HEAD")
    assert found["vcs.ref.head.name"] == "main"
    assert found["service.version"] == "1.2.3"
