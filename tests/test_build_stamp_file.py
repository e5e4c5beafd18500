"""The stamp file: where it is looked for, what is made of what is in it, and the line."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_session import config
from otel_session.build_stamp import BuildStamp, build_line, find_stamp, read_stamp
from otel_session.build_stamp import _warning as warning

FOUR_KEYS = {
    "commit": "512fbfe",
    "branch": "main",
    "timestamp": "2025-12-16T07:26:50.123456+00:00",
    "build_date": "2025-12-16 07:26:50 UTC",
}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing said yet, and no configuration in force."""
    monkeypatch.setattr(warning, "_said", set())
    monkeypatch.delenv("OTEL_SESSION_BUILD_STAMP", raising=False)
    config.activate(None)
    yield
    config.activate(None)


def put(folder: Path, content: object = FOUR_KEYS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "build_stamp.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_line_of_the_agreed_example(tmp_path: Path) -> None:
    """The four keys other tools write too give the agreed line."""
    assert build_line(read_stamp(put(tmp_path))) == "Build: 512fbfe (main) - 2025-12-16 07:26:50 UTC"


def test_line_without_a_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a stamp the line is `Development`; with one in the working directory it is the build's."""
    monkeypatch.chdir(tmp_path)
    assert build_line() == "Development"
    put(tmp_path)
    assert build_line() == "Build: 512fbfe (main) - 2025-12-16 07:26:50 UTC"


def test_named_file_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SESSION_BUILD_STAMP, or the setting given in code, names the file before any is looked for."""
    put(tmp_path, {"commit": "aaaaaaa"})
    named = put(tmp_path / "elsewhere", {"commit": "bbbbbbb"})
    monkeypatch.chdir(tmp_path)
    assert find_stamp() == tmp_path / "build_stamp.json"
    monkeypatch.setenv("OTEL_SESSION_BUILD_STAMP", str(named))
    config.activate(None)
    assert (find_stamp(), build_line()) == (named, "Build: bbbbbbb")
    config.activate(config.Config.load(environ={}, build_stamp=str(named)))
    monkeypatch.delenv("OTEL_SESSION_BUILD_STAMP")
    assert find_stamp() == named


def test_named_file_that_is_missing_is_not_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the named file is not there, no other build is shown in its place, and one warning says why."""
    put(tmp_path)
    monkeypatch.chdir(tmp_path)
    environ = {"OTEL_SESSION_BUILD_STAMP": str(tmp_path / "gone.json")}
    assert read_stamp(environ=environ) is None
    assert read_stamp(environ=environ) is None
    assert [r.getMessage() for r in caplog.records] == [
        f"{tmp_path}/gone.json cannot be used as a build stamp: No such file or directory. "
        "The build is shown as Development."
    ]


def test_another_wrong_setting_does_not_hide_the_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another variable keeps the configuration from loading, the stamp is still read."""
    monkeypatch.setenv("OTEL_SESSION_IDLE_S", "soon")
    monkeypatch.setenv("OTEL_SESSION_BUILD_STAMP", str(put(tmp_path)))
    assert build_line().startswith("Build: 512fbfe")


def test_parents_up_to_the_top_of_the_project(tmp_path: Path) -> None:
    """Folders above are looked at up to the repository, else the project; beyond that, and without either, not."""
    stamp = put(tmp_path)
    deep = tmp_path / "project" / "src" / "package"
    deep.mkdir(parents=True)
    assert find_stamp(folder=deep, environ={}) is None
    (tmp_path / "project" / "pyproject.toml").touch()
    assert find_stamp(folder=deep, environ={}) is None
    mine = put(tmp_path / "project")
    assert find_stamp(folder=deep, environ={}) == mine
    mine.unlink()
    (tmp_path / ".git").mkdir()
    assert find_stamp(folder=deep, environ={}) == stamp


def test_main_script_before_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python /srv/app/main.py` shows the build beside main.py; a launcher's or installed script's folder is none."""
    here = put(tmp_path / "cwd")
    beside = put(tmp_path / "app")
    launcher = put(tmp_path / "bin").with_name("flask")
    installed = put(tmp_path / "lib" / "site-packages" / "tool").with_name("__main__.py")
    script = tmp_path / "app" / "main.py"
    for file in (launcher, installed, script):
        file.touch()
    monkeypatch.chdir(tmp_path / "cwd")
    for program, expected in (
        (str(script), beside),
        ("../app/main.py", beside),
        (str(launcher), here),
        (str(installed), here),
        ("-c", here),
        ("", here),
        ("/gone.py", here),
    ):
        monkeypatch.setattr(sys, "argv", [program])
        assert find_stamp(environ={}) == expected, program


def test_deleted_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose working directory is gone shows `Development`."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "argv", ["-c"])
    assert (find_stamp(environ={}), build_line()) == (None, "Development")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\x00\xff\xfe\x80binary",
        b"[]",
        b'"512fbfe"',
        b"null",
        b"{}",
        b'{"commit": null}',
        b'{"commit": 5}',
        b'{"commit": ""}',
        b'{"commit": "unknown"}',
        b'{"commit": "512fbfe <script>"}',
        b'{"commit": "' + b"a" * 1000 + b'"}',
        b"[" * 60_000,
        b'{"commit": ' + b"1" * 60_000 + b"}",
        b'{"commit": "512fbfe"}' + b" " * 70_000,
    ],
)
def test_broken_file_is_one_warning_and_development(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is in the file, reading it twice gives None twice and one warning that names the file."""
    path = put(tmp_path, content)
    assert [read_stamp(path), read_stamp(path)] == [None, None]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"{path} cannot be used as a build stamp: ")


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    """A folder, a device, a pipe without a writer and a link to itself in the stamp's place are refused at once."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    assert [read_stamp(path) for path in (tmp_path, "/dev/zero", pipe, circle, "bad\0name")] == [None] * 5
    os.mkfifo(tmp_path / "build_stamp.json")
    assert find_stamp(folder=tmp_path, environ={}) is None


def test_file_the_system_refuses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The operating system's own words for why a file cannot be read are in the warning."""
    assert read_stamp(put(tmp_path) / "build_stamp.json") is None
    assert "cannot be used as a build stamp: Not a directory." in caplog.text


def test_files_of_other_tools(tmp_path: Path) -> None:
    """Missing dates, `HEAD` for a branch, a long hash, UTF-16 and a byte-order mark are understood."""
    full = "512fbfe" + "0" * 33
    assert read_stamp(put(tmp_path, {"commit": full, "branch": "HEAD"})) == BuildStamp("512fbfe", revision=full)
    assert build_line(read_stamp(put(tmp_path, {"commit": "r1234"}))) == "Build: r1234"
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        stamp = read_stamp(put(tmp_path, json.dumps(FOUR_KEYS).encode(encoding)))
        assert build_line(stamp) == "Build: 512fbfe (main) - 2025-12-16 07:26:50 UTC"


@pytest.mark.parametrize(
    "written",
    [
        "2025-12-16T07:26:50Z",
        "2025-12-16T08:26:50+01:00",
        "2025-12-16T08:26:50+0100",
        "2025-12-16 07:26:50 UTC",
        "2025-12-16T07:26:50",
        "2025-12-16T07:26:50.1Z",
        "2025-12-16T07:26:50.123456789Z",
    ],
)
def test_dates_of_other_tools(tmp_path: Path, written: str) -> None:
    """Dates in other zones and precisions are shown in UTC, whichever key they are under."""
    for key in ("timestamp", "build_date"):
        stamp = read_stamp(put(tmp_path, {"commit": "512fbfe", key: written}))
        assert stamp is not None
        assert stamp.build_date == "2025-12-16 07:26:50 UTC"


def test_wrong_values_beside_a_commit_are_left_out(tmp_path: Path) -> None:
    """With a good commit, everything else that cannot be used counts as not known."""
    wrong = {
        "commit": "512fbfe",
        "branch": "a\nb",
        "timestamp": "0001-01-01T00:00:00+14:00",
        "build_date": ["now"],
        "revision": {"x": 1},
        "ref_type": "cow",
        "dirty": "yes",
        "commit_time": 5,
        "repository": "https://u:sec/ret@example.com/x",
    }
    assert read_stamp(put(tmp_path, wrong)) == BuildStamp("512fbfe", revision="512fbfe")


def test_stamp_as_plain_data(tmp_path: Path) -> None:
    """The stamp for an information page begins with the file's four keys and is ready for JSON."""
    stamp = read_stamp(put(tmp_path))
    assert stamp is not None
    assert list(stamp.as_dict().items())[:4] == list(FOUR_KEYS.items())
    assert json.loads(json.dumps(stamp.as_dict())) == stamp.as_dict()
