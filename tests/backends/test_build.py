"""deploy/backends/build.py, as far as it goes without minutes of compiling."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.backends.processes import REPOSITORY

BUILD = REPOSITORY / "deploy" / "backends" / "build.py"


def run_build(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the script with an environment of exactly these variables."""
    return subprocess.run(
        [sys.executable, str(BUILD), *arguments], env=env, capture_output=True, text=True, check=False
    )


def fake_go(folder: Path, script: str) -> str:
    """Put a `go` into a folder; return the PATH that finds it."""
    go = folder / "go"
    go.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    go.chmod(0o755)
    return f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin"


def test_print_dir(tmp_path: Path) -> None:
    """The folder is the variable's, else the user's cache folder's, and asking for it makes nothing."""
    cases = [
        ({"OTEL_SESSION_BACKENDS": str(tmp_path / "a")}, tmp_path / "a"),
        ({"XDG_CACHE_HOME": str(tmp_path / "b")}, tmp_path / "b" / "otel-session" / "backends"),
        ({"HOME": str(tmp_path)}, tmp_path / ".cache" / "otel-session" / "backends"),
    ]
    for env, folder in cases:
        assert run_build("--print-dir", **env).stdout == f"{folder}\n"
    assert list(tmp_path.iterdir()) == []


def test_without_go(tmp_path: Path) -> None:
    """Without Go there is one line that says which is needed, and exit code 1."""
    done = run_build(OTEL_SESSION_BACKENDS=str(tmp_path), PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == ("error: otelcol is built with Go 1.25 or newer; there is no `go` on the PATH. Install Go.\n")


def test_with_old_go(tmp_path: Path) -> None:
    """A Go that is too old is named with its version and its place."""
    path = fake_go(tmp_path, "echo go version go1.19.8 linux/amd64")
    done = run_build(OTEL_SESSION_BACKENDS=str(tmp_path / "cache"), PATH=path)
    assert done.returncode == 1
    assert f"Go 1.25 or newer; {tmp_path}/go is go1.19.8." in done.stderr


def test_failed_build_leaves_nothing(tmp_path: Path) -> None:
    """A build that fails shows the end of Go's output, and leaves neither a program nor its digest nor a folder."""
    script = '[ "$1" = version ] && echo go version go1.99.0 linux/amd64 && exit; echo no such module; exit 3'
    done = run_build("jaeger", OTEL_SESSION_BACKENDS=str(tmp_path / "cache"), PATH=fake_go(tmp_path, script))
    assert done.returncode == 1
    assert "failed with exit code 3:\nno such module" in done.stderr
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".jaeger.lock"]


def test_same_inputs_build_once(tmp_path: Path) -> None:
    """What is built stands there for the next run, which does not even need Go."""
    count = tmp_path / "count"
    script = (
        '[ "$1" = version ] && echo go version go1.99.0 linux/amd64 && exit\n'
        f'echo built >> {count}\nwhile [ "$1" != -o ]; do shift; done; echo program > "$2"; chmod +x "$2"'
    )
    path = fake_go(tmp_path, script)
    for each_path in (path, path, str(tmp_path / "nowhere")):
        done = run_build("jaeger", OTEL_SESSION_BACKENDS=str(tmp_path / "cache"), PATH=each_path)
        assert (done.returncode, done.stderr) == (0, "")
    assert count.read_text(encoding="utf-8") == "built\n"
    assert (tmp_path / "cache" / "jaeger").read_text(encoding="utf-8") == "program\n"


def test_two_runs_build_once(tmp_path: Path) -> None:
    """Of two runs at once, one builds and the other waits and takes what it built."""
    count = tmp_path / "count"
    script = (
        '[ "$1" = version ] && echo go version go1.99.0 linux/amd64 && exit\n'
        f'echo built >> {count}\nsleep 1\nwhile [ "$1" != -o ]; do shift; done; echo program > "$2"; chmod +x "$2"'
    )
    env = {"OTEL_SESSION_BACKENDS": str(tmp_path / "cache"), "PATH": fake_go(tmp_path, script)}
    command = [sys.executable, str(BUILD), "jaeger"]
    runs = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert count.read_text(encoding="utf-8") == "built\n"
    assert sum("jaeger: built in" in output for output in outputs) == 1
