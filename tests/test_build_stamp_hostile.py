"""The detector on whatever may lie in `.git`, in the stamp and in the environment: it never raises nor blocks."""

from __future__ import annotations

import os
import shutil
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_session import _guard, attributes
from otel_session.build_stamp import BuildStampDetector
from otel_session.build_stamp._objects import read_object

A = "a" * 40
PLACES = (
    ".git",
    ".git/HEAD",
    ".git/commondir",
    ".git/config",
    ".git/packed-refs",
    ".git/refs/heads/main",
    ".git/refs/tags/v1",
    f".git/objects/aa/{'a' * 38}",
    "build_stamp.json",
)


@pytest.fixture(autouse=True)
def _reports(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Places that reported a failure of ours; there must be none."""
    reported: set[str] = set()
    monkeypatch.setattr(_guard, "_reported", reported)
    yield reported
    assert reported == set()


def put(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def detected(folder: Path, environ: dict[str, str] | None = None) -> dict[str, object]:
    began = time.monotonic()
    found: dict[str, object] = dict(BuildStampDetector(environ=environ or {}, folder=folder).detect().attributes)
    assert time.monotonic() - began < 5  # seconds; a millisecond is usual
    for value in found.values():
        str(value).encode()
    return found


_line = st.one_of(
    st.binary(max_size=80),
    st.sampled_from(
        [
            b"ref: refs/heads/main\n",
            b"ref: refs/heads/../../../etc/passwd\n",
            b"ref: refs/heads/a\x00b\n",
            b"ref: \n",
            b"ref: /etc/passwd\n",
            b"gitdir: .git\n",
            b"gitdir: \x00\n",
            b"gitdir: ../..\n",
            A.encode() + b"\n",
            A.encode() + b" refs/heads/main\n",
            b"^" + A.encode() + b"\n",
            b'[remote "origin"]\n',
            b"url = https://u:secret@example.com/x\n",
            b'{"commit": "512fbfe", "branch": ',
            b"x\x9cK\xca",
        ]
    ),
)
_content = st.lists(_line, max_size=6).map(b"".join)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(st.sampled_from(PLACES), _content, max_size=len(PLACES)))
def test_random_content_never_raises(tmp_path: Path, files: dict[str, bytes]) -> None:
    """Any content in any of the files gives attributes that can be exported, or none, and never a password."""
    folder = tmp_path / "app"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in sorted(files.items(), reverse=True):
        if not (folder / name).exists():  # `.git` is a file or a folder, whichever came first
            put(folder, name, content)
    assert "secret" not in str(detected(folder))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.one_of(_content, st.text().map(lambda s: b"ref: refs/heads/" + s.encode("utf-8", "surrogatepass"))))
def test_random_head_never_raises(tmp_path: Path, head: bytes) -> None:
    """Any HEAD beside good references gives a full hash or nothing."""
    put(tmp_path, ".git/HEAD", head)
    put(tmp_path, ".git/refs/heads/main", A.encode())
    assert detected(tmp_path).get(attributes.VCS_REF_HEAD_REVISION, A) == A


_VARIABLES = (
    "OTEL_SESSION_BUILD_COMMIT",
    "OTEL_SESSION_BUILD_BRANCH",
    "OTEL_SESSION_BUILD_DATE",
    "OTEL_SESSION_BUILD_REPOSITORY",
    "OTEL_SESSION_BUILD_VERSION",
    "OTEL_SESSION_BUILD_STAMP",
    "OTEL_RESOURCE_ATTRIBUTES",
    "GIT_COMMIT",
    "GITHUB_EVENT_PATH",
    "GITHUB_SHA",
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(environ=st.dictionaries(st.sampled_from(_VARIABLES), st.text(st.characters(), max_size=60)))
def test_random_variables_never_raise(tmp_path: Path, environ: dict[str, str]) -> None:
    """Any text in the variables, NUL and lone surrogates included, gives attributes that can be exported."""
    detected(tmp_path, environ | {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request"})


def test_pipes_and_devices_in_place_of_files(tmp_path: Path) -> None:
    """Named pipes without a writer and endless devices are passed over at once."""
    put(tmp_path, ".git/HEAD", b"ref: refs/heads/main\n")
    for name in (".git/config", ".git/packed-refs", ".git/refs/heads/main"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(tmp_path / name)
    assert detected(tmp_path) == {}
    (tmp_path / ".git" / "HEAD").unlink()
    os.mkfifo(tmp_path / ".git" / "HEAD")
    assert detected(tmp_path) == {}
    (tmp_path / ".git" / "HEAD").unlink()
    (tmp_path / ".git" / "HEAD").symlink_to("/dev/zero")
    assert detected(tmp_path) == {}
    (tmp_path / ".git" / "HEAD").unlink()
    (tmp_path / ".git" / "HEAD").symlink_to("HEAD")
    assert detected(tmp_path) == {}


def test_huge_files(tmp_path: Path) -> None:
    """Files beyond their limits are not read: a HEAD of 1 GB, packed references of 1 GB, a stamp of 1 GB."""
    put(tmp_path, ".git/HEAD", b"ref: refs/heads/main\n")
    for name in (".git/packed-refs", ".git/config", "build_stamp.json"):
        put(tmp_path, name, b"")
        os.truncate(tmp_path / name, 10**9)
    assert detected(tmp_path) == {}
    put(tmp_path, ".git/refs/heads/main", A.encode())
    assert detected(tmp_path)[attributes.VCS_REF_HEAD_REVISION] == A
    os.truncate(tmp_path / ".git" / "HEAD", 10**9)
    assert detected(tmp_path) == {}


def test_many_packed_references(tmp_path: Path) -> None:
    """Among 150,000 packed references the branch and the tag are found in time."""
    lines = [f"{n:040x} refs/remotes/origin/branch-{n}\n" for n in range(150_000)]
    put(tmp_path, ".git/packed-refs", "".join([*lines, f"{A} refs/heads/main\n", f"{A} refs/tags/v1\n"]).encode())
    put(tmp_path, ".git/HEAD", b"ref: refs/heads/main\n")
    assert detected(tmp_path)[attributes.VCS_REF_HEAD_NAME] == "main"
    put(tmp_path, ".git/HEAD", A.encode())
    assert detected(tmp_path)[attributes.VCS_REF_HEAD_NAME] == "v1"


def test_circles(tmp_path: Path) -> None:
    """References that point at each other and a `.git` file that points at itself end."""
    put(tmp_path, ".git/HEAD", b"ref: refs/heads/a\n")
    put(tmp_path, ".git/refs/heads/a", b"ref: refs/heads/b\n")
    put(tmp_path, ".git/refs/heads/b", b"ref: refs/heads/a\n")
    assert detected(tmp_path) == {}
    put(tmp_path, "inner/.git", b"gitdir: .git\n")
    assert detected(tmp_path / "inner") == {}


def test_reference_outside_of_the_repository(tmp_path: Path) -> None:
    """A HEAD that leads out of the repository is not followed, even to a file that holds a hash."""
    put(tmp_path, "outside", A.encode())
    put(tmp_path, "app/.git/HEAD", b"ref: refs/../../../outside\n")
    put(tmp_path, "app/.git/refs/heads/main", b"ref: refs/heads/../../../../outside\n")
    assert detected(tmp_path / "app") == {}
    put(tmp_path, "app/.git/HEAD", b"ref: refs/heads/main\n")
    assert detected(tmp_path / "app") == {}


def test_deep_folder(tmp_path: Path) -> None:
    """From a folder some hundred levels down the search ends."""
    deep = tmp_path.joinpath(*["d"] * 300)
    deep.mkdir(parents=True)
    assert detected(deep) == {}


def test_bomb_in_a_tag_object(tmp_path: Path) -> None:
    """A tag object that unpacks to gigabytes is unpacked to its limit only."""
    put(tmp_path, ".git/HEAD", b"b" * 40)
    put(tmp_path, ".git/refs/tags/v1", A.encode())
    put(tmp_path, f".git/objects/aa/{'a' * 38}", zlib.compress(b"tag 9\0" + b"\0" * 200_000_000, 9))
    assert attributes.VCS_REF_HEAD_NAME not in detected(tmp_path)
    found = read_object(tmp_path / ".git", A)
    assert found is not None
    assert len(found[1]) <= 1 << 20
