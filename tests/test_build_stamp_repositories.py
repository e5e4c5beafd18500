"""Stamp and detector in real repositories, made by the real git program."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_session import attributes
from otel_session.build_stamp import BuildStampDetector, build_line, read_stamp, write_stamp
from otel_session.exceptions import BuildStampError

ENVIRON = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "GIT_COMMITTER_DATE": "2025-12-16T08:00:00+01:00",
}
NO_GIT = {**ENVIRON, "PATH": "/nonexistent"}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "protocol.file.allow=always", *arguments]
    return subprocess.run(command, cwd=folder, env=ENVIRON, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, text: str = "one") -> str:
    (folder / "app.py").write_text(text)
    git(folder, "add", "app.py")
    git(folder, "commit", "-q", "-m", text)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with two commits and a remote whose address holds a password."""
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", "https://ci:hunter2@example.com/org/app.git")
    commit(folder, "one")
    commit(folder, "two")
    return folder


def detected(folder: Path, environ: dict[str, str] | None = None) -> dict[str, object]:
    return dict(BuildStampDetector(environ=environ or {}, folder=folder).detect().attributes)


def test_stamp_has_the_agreed_keys_and_formats(clone: Path) -> None:
    """The file's first four keys are commit, branch, timestamp and build_date in their exact formats."""
    stamp = write_stamp(clone, environ=ENVIRON)
    content = json.loads((clone / "build_stamp.json").read_text())
    assert list(content)[:4] == ["commit", "branch", "timestamp", "build_date"]
    assert content["commit"] == git(clone, "rev-parse", "--short=7", "HEAD")
    assert content["branch"] == "main"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", content["timestamp"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", content["build_date"])
    assert content["timestamp"][:19].replace("T", " ") + " UTC" == content["build_date"]
    assert content == stamp.as_dict()


def test_stamp_holds_more_than_the_four_keys(clone: Path) -> None:
    """Full revision, kind of reference, dirty flag, commit time in UTC and an address without password are in it."""
    stamp = write_stamp(clone, environ=ENVIRON)
    assert stamp.revision == git(clone, "rev-parse", "HEAD")
    assert stamp.ref_type == "branch"
    assert stamp.dirty is False
    assert stamp.commit_time == "2025-12-16T07:00:00+00:00"
    assert stamp.repository == "https://example.com/org/app"
    assert "hunter2" not in (clone / "build_stamp.json").read_text()


def test_written_stamp_reads_back_equal(clone: Path) -> None:
    """What is written is what is read, and the line is made from it."""
    stamp = write_stamp(clone, environ=ENVIRON)
    assert read_stamp(folder=clone, environ={}) == stamp
    assert build_line(stamp) == f"Build: {stamp.commit} (main) - {stamp.build_date}"


def test_subfolder_of_the_repository(clone: Path) -> None:
    """From a subfolder the stamp of the repository is written there, and one further up is found."""
    deep = clone / "src" / "deep"
    deep.mkdir(parents=True)
    stamp = write_stamp(clone, environ=ENVIRON)
    assert read_stamp(folder=deep, environ={}) == stamp
    assert write_stamp(deep, environ=ENVIRON).commit == stamp.commit
    assert (deep / "build_stamp.json").is_file()


def test_linked_worktree(clone: Path, tmp_path: Path) -> None:
    """In a linked work tree the work tree's own branch is stamped and detected."""
    git(clone, "worktree", "add", "-q", "-b", "feature/deep/name", str(tmp_path / "tree"), "HEAD~1")
    stamp = write_stamp(tmp_path / "tree", environ=ENVIRON)
    assert (stamp.revision, stamp.branch) == (git(clone, "rev-parse", "HEAD~1"), "feature/deep/name")
    found = detected(tmp_path / "tree")
    assert found[attributes.VCS_REF_HEAD_NAME] == "feature/deep/name"
    assert found[attributes.VCS_REPOSITORY_URL_FULL] == "https://example.com/org/app"


def test_detached_worktree(clone: Path, tmp_path: Path) -> None:
    """A detached work tree has its commit and no branch; the line leaves the branch out."""
    git(clone, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"), "HEAD~1")
    stamp = write_stamp(tmp_path / "tree", environ=ENVIRON)
    assert (stamp.revision, stamp.branch, stamp.ref_type) == (git(clone, "rev-parse", "HEAD~1"), None, None)
    assert build_line(stamp) == f"Build: {stamp.commit} - {stamp.build_date}"
    (tmp_path / "tree" / "build_stamp.json").unlink()
    found = detected(tmp_path / "tree")
    assert found[attributes.VCS_REF_HEAD_REVISION] == stamp.revision
    assert attributes.VCS_REF_HEAD_NAME not in found
    assert found[attributes.SERVICE_VERSION] == stamp.commit


@pytest.mark.parametrize("environ", [ENVIRON, NO_GIT], ids=["git", "no git program"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("annotated", [False, True])
def test_detached_at_a_tag(clone: Path, annotated: bool, packed: bool, environ: dict[str, str]) -> None:
    """A detached head on a tag is named by it: annotated or not, loose or packed, with and without git."""
    git(clone, "tag", *(["-m", "release"] if annotated else []), "v1.10")
    if packed:
        git(clone, "pack-refs", "--all")
    git(clone, "checkout", "-q", "v1.10")
    assert detected(clone)[attributes.SERVICE_VERSION] == "v1.10"
    stamp = write_stamp(clone, environ=environ)
    assert (stamp.branch, stamp.ref_type) == ("v1.10", "tag")
    found = detected(clone)
    assert found[attributes.VCS_REF_HEAD_NAME] == "v1.10"
    assert found[attributes.VCS_REF_TYPE] == "tag"


def test_highest_of_several_tags(clone: Path) -> None:
    """Without the git program the highest tag in natural order names the head."""
    for name in ("v1.9", "v1.10", "v1.2", "old/v1.1"):
        git(clone, "tag", name)
    git(clone, "checkout", "-q", "--detach")
    assert detected(clone)[attributes.VCS_REF_HEAD_NAME] == "v1.10"


def test_tag_on_another_commit_is_not_taken(clone: Path) -> None:
    """Tags elsewhere in the history, packed and annotated ones included, do not name the head."""
    git(clone, "tag", "-m", "old", "v0.9", "HEAD~1")
    git(clone, "tag", "v0.8", "HEAD~1")
    git(clone, "pack-refs", "--all")
    git(clone, "checkout", "-q", "--detach")
    assert write_stamp(clone, environ=ENVIRON).branch is None
    assert attributes.VCS_REF_HEAD_NAME not in detected(clone)


def test_tag_that_was_moved(clone: Path) -> None:
    """A loose tag stands before the packed one of its name: a tag moved away does not name the head any more."""
    git(clone, "tag", "v1.0")
    git(clone, "pack-refs", "--all")
    git(clone, "tag", "-f", "v1.0", "HEAD~1")
    git(clone, "checkout", "-q", "--detach")
    assert attributes.VCS_REF_HEAD_NAME not in detected(clone)


def test_tag_on_a_branch_checked_out(clone: Path) -> None:
    """A branch that is checked out is the reference, even when a tag is on the same commit."""
    git(clone, "tag", "v1.0")
    assert write_stamp(clone, environ=ENVIRON).branch == "main"


def test_dirty_tree(clone: Path) -> None:
    """Changed tracked files make it dirty; untracked files and the stamp itself do not."""
    (clone / "new.txt").write_text("untracked")
    assert write_stamp(clone, environ=ENVIRON).dirty is False
    git(clone, "add", "-f", "build_stamp.json")
    git(clone, "commit", "-q", "-m", "stamp committed by mistake")
    assert write_stamp(clone, environ=ENVIRON).dirty is False
    assert write_stamp(clone, environ=ENVIRON).dirty is False
    (clone / "app.py").write_text("changed")
    assert write_stamp(clone, environ=ENVIRON).dirty is True
    assert detected(clone)[attributes.BUILD_DIRTY] is True


def test_dirty_is_unknown_without_git(clone: Path) -> None:
    """Without the git program everything but `dirty` is known, the commit's time out of the loose object."""
    stamp = write_stamp(clone, environ=NO_GIT)
    assert stamp.dirty is None
    assert stamp.revision == git(clone, "rev-parse", "HEAD")
    assert stamp.branch == "main"
    assert stamp.commit_time == "2025-12-16T07:00:00+00:00"


def test_git_that_hangs_is_given_up(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git program that never answers, and leaves a child behind, costs the time limit and no more."""
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/questions\nsleep 20\n")
    slow.chmod(0o755)
    monkeypatch.setattr("otel_session.build_stamp._write._GIT_TIMEOUT_S", 0.2)
    began = time.monotonic()
    stamp = write_stamp(clone, environ={**ENVIRON, "PATH": f"{slow.parent}{os.pathsep}{ENVIRON['PATH']}"})
    assert time.monotonic() - began < 5
    assert (stamp.branch, stamp.dirty) == ("main", None)
    assert (tmp_path / "questions").read_text() == "asked\n"


def test_git_that_refuses_the_owner(clone: Path) -> None:
    """Where git refuses a repository of another owner, as in many image builds, all but `dirty` is still stamped."""
    stamp = write_stamp(clone, environ={**ENVIRON, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"})
    assert (stamp.branch, stamp.dirty, stamp.commit_time) == ("main", None, "2025-12-16T07:00:00+00:00")


def test_hook_variables_do_not_redirect_git(clone: Path, tmp_path: Path) -> None:
    """GIT_DIR and GIT_INDEX_FILE, as set inside a hook, do not make git speak of another repository."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "trunk")
    git(clone, "gc", "-q")  # so that nothing but the program can date the commit
    hook = {**ENVIRON, "GIT_DIR": str(other / ".git"), "GIT_INDEX_FILE": str(other / ".git" / "index")}
    stamp = write_stamp(clone, environ=hook)
    assert (stamp.branch, stamp.dirty, stamp.commit_time) == ("main", False, "2025-12-16T07:00:00+00:00")


def test_shallow_clone(clone: Path, tmp_path: Path) -> None:
    """A shallow clone, whose only commit is packed, is stamped and detected."""
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{clone}", "shallow")
    stamp = write_stamp(tmp_path / "shallow", environ=ENVIRON)
    assert stamp.revision == git(clone, "rev-parse", "HEAD")
    assert (stamp.branch, stamp.dirty, stamp.commit_time) == ("main", False, "2025-12-16T07:00:00+00:00")
    assert stamp.repository is None, "a local path is not an address and does not leave the machine"
    (tmp_path / "shallow" / "build_stamp.json").unlink()
    assert detected(tmp_path / "shallow")[attributes.VCS_REF_HEAD_REVISION] == stamp.revision


@pytest.mark.parametrize("annotated", [False, True])
def test_shallow_clone_of_a_tag(clone: Path, tmp_path: Path, annotated: bool) -> None:
    """A shallow clone of a tag, as CI makes it, is named by the tag, also without the git program."""
    git(clone, "tag", *(["-m", "release"] if annotated else []), "v2.0")
    git(tmp_path, "clone", "-q", "--depth", "1", "--branch", "v2.0", f"file://{clone}", "shallow")
    assert write_stamp(tmp_path / "shallow", environ=ENVIRON).branch == "v2.0"
    (tmp_path / "shallow" / "build_stamp.json").unlink()
    assert detected(tmp_path / "shallow")[attributes.VCS_REF_HEAD_NAME] == "v2.0"


def test_packed_refs(clone: Path) -> None:
    """A branch that is only in packed-refs is found, and one whose name ends like it is not mistaken for it."""
    git(clone, "branch", "a/refs/heads/main", "HEAD~1")
    git(clone, "pack-refs", "--all")
    assert not (clone / ".git" / "refs" / "heads" / "main").exists()
    assert detected(clone)[attributes.VCS_REF_HEAD_REVISION] == git(clone, "rev-parse", "HEAD")
    assert write_stamp(clone, environ=NO_GIT).branch == "main"


def test_submodule(clone: Path, tmp_path: Path) -> None:
    """In a submodule its own commit and remote are stamped, in the repository around it not the submodule's."""
    around = tmp_path / "around"
    around.mkdir()
    git(around, "init", "-q", "-b", "outer")
    commit(around, "outer")
    git(around, "submodule", "add", "-q", str(clone), "libs/app")
    git(around, "config", "submodule.libs/app.url", "https://example.com/org/lib")
    assert attributes.VCS_REPOSITORY_URL_FULL not in detected(around)
    inner = around / "libs" / "app"
    git(inner, "remote", "set-url", "origin", "git@example.com:org/lib.git")
    stamp = write_stamp(inner, environ=ENVIRON)
    assert stamp.revision == git(clone, "rev-parse", "HEAD")
    assert (stamp.branch, stamp.repository) == ("main", "https://example.com/org/lib")
    (inner / "build_stamp.json").unlink()
    assert detected(inner)[attributes.VCS_REF_HEAD_REVISION] == stamp.revision


def test_submodule_without_its_repository(clone: Path, tmp_path: Path) -> None:
    """A submodule copied without its repository does not take the commit of the repository it lies in."""
    orphan = clone / "orphan"
    orphan.mkdir()
    (orphan / ".git").write_text("gitdir: ../.git/modules/gone\n")
    assert detected(orphan) == {}
    with pytest.raises(BuildStampError, match="is not in a git repository"):
        write_stamp(orphan, environ=ENVIRON)


def test_sha256_repository(tmp_path: Path) -> None:
    """A repository with SHA-256 object names is stamped with all 64 digits."""
    git(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256", "new")
    revision = commit(tmp_path / "new")
    assert len(revision) == 64
    assert write_stamp(tmp_path / "new", environ=ENVIRON).revision == revision
    assert detected(tmp_path / "new")[attributes.VCS_REF_HEAD_REVISION] == revision


def test_branch_name_in_another_script(clone: Path) -> None:
    """A branch name outside ASCII comes through; one that is no UTF-8 gets replacement characters."""
    git(clone, "checkout", "-q", "-b", "größe/日本")
    assert write_stamp(clone, environ=ENVIRON).branch == "größe/日本"
    (clone / "build_stamp.json").unlink()
    assert detected(clone)[attributes.VCS_REF_HEAD_NAME] == "größe/日本"
    name = os.fsencode(clone / ".git" / "refs" / "heads") + b"/br\xff"
    Path(os.fsdecode(name)).write_text(git(clone, "rev-parse", "HEAD") + "\n")
    (clone / ".git" / "HEAD").write_bytes(b"ref: refs/heads/br\xff\n")
    assert detected(clone)[attributes.VCS_REF_HEAD_NAME] == "br\N{REPLACEMENT CHARACTER}"


def test_reftable_is_left_to_the_git_program(clone: Path, tmp_path: Path) -> None:
    """Behind a reftable's stand-in HEAD the detector knows nothing; the stamp is made with what git answers."""
    revision = git(clone, "rev-parse", "HEAD")
    (clone / ".git" / "HEAD").write_text("ref: refs/heads/.invalid\n")
    assert detected(clone) == {}
    with pytest.raises(BuildStampError, match="reftable"):
        write_stamp(clone, environ=NO_GIT)
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\ncase "$*" in\n*symbolic-ref*) echo refs/heads/table;;\n'
        f"*log*) echo {revision} 2025-12-16T08:00:00+01:00;;\nesac\n"
    )
    fake.chmod(0o755)
    stamp = write_stamp(clone, environ={**ENVIRON, "PATH": str(fake.parent)})
    assert (stamp.revision, stamp.branch, stamp.dirty) == (revision, "table", False)


def test_docker_like_folder_with_only_the_stamp(clone: Path, tmp_path: Path) -> None:
    """Where only the stamp was copied, the detector says all of it and the line shows it."""
    image = tmp_path / "image"
    image.mkdir()
    stamp = write_stamp(clone, output=image / "build_stamp.json", environ=ENVIRON)
    assert not (clone / "build_stamp.json").exists()
    assert detected(image) == {
        attributes.VCS_REF_HEAD_REVISION: stamp.revision,
        attributes.VCS_REF_HEAD_NAME: "main",
        attributes.VCS_REF_TYPE: "branch",
        attributes.VCS_REPOSITORY_URL_FULL: "https://example.com/org/app",
        attributes.BUILD_DATE: stamp.timestamp,
        attributes.BUILD_DIRTY: False,
        attributes.SERVICE_VERSION: stamp.commit,
    }
    assert read_stamp(folder=image, environ={}) == stamp


def test_folder_with_nothing(tmp_path: Path) -> None:
    """Outside of git the command's function says so, and the detector and the reader have nothing to say."""
    with pytest.raises(BuildStampError, match=r"is not in a git repository, so there is no commit to stamp"):
        write_stamp(tmp_path, environ=ENVIRON)
    assert list(tmp_path.iterdir()) == []
    assert read_stamp(folder=tmp_path, environ={}) is None
    resource = BuildStampDetector(environ={}, folder=tmp_path).detect()
    assert (dict(resource.attributes), resource.schema_url) == ({}, "")


def test_repository_without_a_commit(tmp_path: Path) -> None:
    """Before the first commit there is nothing to stamp, which is said, and nothing to detect."""
    git(tmp_path, "init", "-q", "-b", "main")
    with pytest.raises(BuildStampError, match="no commit that can be read"):
        write_stamp(tmp_path, environ=ENVIRON)
    assert detected(tmp_path) == {}


def test_folder_that_is_missing(tmp_path: Path) -> None:
    """A folder that does not exist is named in the error."""
    with pytest.raises(BuildStampError, match="gone is not a folder"):
        write_stamp(tmp_path / "gone", environ=ENVIRON)


def test_existing_file_is_replaced_in_one_step(clone: Path) -> None:
    """The old file stays whole for whoever has it open, its permissions stay, and nothing is left beside it."""
    target = clone / "build_stamp.json"
    target.write_text("old")
    target.chmod(0o640)
    with target.open() as reader:
        write_stamp(clone, environ=ENVIRON)
        assert reader.read() == "old"
    assert json.loads(target.read_text())["branch"] == "main"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(p.name for p in clone.iterdir()) == [".git", "app.py", "build_stamp.json"]


def test_new_file_is_readable_under_the_umask(clone: Path) -> None:
    """A new stamp has the permissions any new file has, so that another user's process can read it."""
    (clone / "plain").write_text("")
    write_stamp(clone, environ=ENVIRON)
    assert (clone / "build_stamp.json").stat().st_mode == (clone / "plain").stat().st_mode


def test_link_to_the_stamp_is_followed(clone: Path, tmp_path: Path) -> None:
    """A symbolic link in the stamp's place stays one; the file it points at is replaced."""
    (clone / "build_stamp.json").symlink_to(tmp_path / "real.json")
    write_stamp(clone, environ=ENVIRON)
    assert (clone / "build_stamp.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["branch"] == "main"


def test_failed_write_leaves_everything_as_it_was(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file cannot be put in place the old one stays, no half file remains, and the error says why."""
    (clone / "build_stamp.json").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("otel_session.build_stamp._write.os.replace", full)
    with pytest.raises(BuildStampError, match=r"build_stamp\.json cannot be written: No space left on device"):
        write_stamp(clone, environ=ENVIRON)
    assert (clone / "build_stamp.json").read_text() == "old"
    assert sorted(p.name for p in clone.iterdir()) == [".git", "app.py", "build_stamp.json"]


def test_output_into_a_missing_folder(clone: Path, tmp_path: Path) -> None:
    """An output whose folder does not exist is an error that names the file."""
    with pytest.raises(BuildStampError, match=r"gone/stamp\.json cannot be written: No such file or directory"):
        write_stamp(clone, output=tmp_path / "gone" / "stamp.json", environ=ENVIRON)


@pytest.mark.parametrize("environ", [ENVIRON, NO_GIT], ids=["git", "no git program"])
def test_detached_head_in_ci_takes_the_name_from_ci(clone: Path, environ: dict[str, str]) -> None:
    """A detached head is named by CI when CI speaks of this commit, before a tag that happens to be there."""
    git(clone, "tag", "v3.0")
    git(clone, "checkout", "-q", "--detach")
    head = git(clone, "rev-parse", "HEAD")
    ci = {"CI": "woodpecker", "CI_COMMIT_SHA": head, "CI_COMMIT_BRANCH": "release"}
    assert write_stamp(clone, environ={**environ, **ci}).branch == "release"
    (clone / "build_stamp.json").unlink()
    assert detected(clone, ci)[attributes.VCS_REF_HEAD_NAME] == "release"


def test_ci_variables_about_another_commit_are_ignored(clone: Path) -> None:
    """CI's branch is not put on a commit that CI does not speak of, such as another repository in the same job."""
    git(clone, "checkout", "-q", "--detach")
    ci = {"GITLAB_CI": "true", "CI_COMMIT_SHA": "f" * 40, "CI_COMMIT_BRANCH": "release"}
    assert write_stamp(clone, environ={**ENVIRON, **ci}).branch is None
    (clone / "build_stamp.json").unlink()
    assert attributes.VCS_REF_HEAD_NAME not in detected(clone, ci)


def test_stated_branch_and_repository_win(clone: Path) -> None:
    """OTEL_SESSION_BUILD_BRANCH and _REPOSITORY are stamped instead of what git says; another commit's are not."""
    stated = {
        "OTEL_SESSION_BUILD_BRANCH": "stated",
        "OTEL_SESSION_BUILD_REPOSITORY": "https://u:p@example.org/mirror.git",
    }
    stamp = write_stamp(clone, environ={**ENVIRON, **stated})
    assert (stamp.branch, stamp.repository) == ("stated", "https://example.org/mirror")
    other = write_stamp(clone, environ={**ENVIRON, **stated, "OTEL_SESSION_BUILD_COMMIT": "f" * 40})
    assert (other.branch, other.revision) == ("main", git(clone, "rev-parse", "HEAD"))


def test_without_origin_the_only_remote_counts(clone: Path) -> None:
    """One remote under another name gives its first address; of several without an origin none is guessed."""
    git(clone, "remote", "set-url", "--add", "origin", "https://example.com/mirror/app")
    git(clone, "remote", "rename", "origin", "upstream")
    assert detected(clone)[attributes.VCS_REPOSITORY_URL_FULL] == "https://example.com/org/app"
    git(clone, "remote", "add", "fork", "https://example.com/me/app")
    assert attributes.VCS_REPOSITORY_URL_FULL not in detected(clone)


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("https://user:pa%40ss@example.com/org/app.git", "https://example.com/org/app"),
        ("https://ghp_0123456789@example.com/org/app", "https://example.com/org/app"),
        ("git@example.com:org/app.git", "https://example.com/org/app"),
        ("ssh://git:secret@example.com:2222/org/app.git", "https://example.com/org/app"),
        ('https://example.com/org/a"pp;v#1.git', 'https://example.com/org/a"pp;v'),
        ("/srv/git/app.git", None),
    ],
)
def test_address_as_git_itself_writes_it_down(clone: Path, remote: str, expected: str | None) -> None:
    """Whatever git writes into its configuration, quoted or not, is read and cleaned of credentials."""
    git(clone, "remote", "set-url", "origin", remote)
    assert detected(clone).get(attributes.VCS_REPOSITORY_URL_FULL) == expected


def test_detector_starts_no_program(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Detecting never starts a process."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    for name in ("Popen", "run"):
        monkeypatch.setattr(subprocess, name, forbidden)
    monkeypatch.setattr(os, "posix_spawn", forbidden)
    assert BuildStampDetector(environ=ENVIRON, folder=clone).detect().attributes[attributes.VCS_REF_HEAD_NAME] == "main"


def test_detector_agrees_with_git_in_every_situation(clone: Path) -> None:
    """After each of many git commands the revision read from files is the one that git names."""
    commands: list[Callable[[], object]] = [
        lambda: commit(clone, "three"),
        lambda: git(clone, "checkout", "-q", "-b", "a/b/c"),
        lambda: commit(clone, "four"),
        lambda: git(clone, "pack-refs", "--all"),
        lambda: commit(clone, "five"),
        lambda: git(clone, "gc", "-q"),
        lambda: git(clone, "checkout", "-q", "--detach", "HEAD~2"),
        lambda: git(clone, "checkout", "-q", "main"),
        lambda: git(clone, "reset", "-q", "--hard", "HEAD~1"),
        lambda: git(clone, "branch", "-q", "-m", "main", "trunk"),
        lambda: git(clone, "symbolic-ref", "HEAD", "refs/heads/trunk"),
        lambda: git(clone, "checkout", "-q", "a/b/c"),
        lambda: git(clone, "merge", "-q", "--no-edit", "trunk"),
    ]
    for command in commands:
        command()
        found = detected(clone)
        assert found[attributes.VCS_REF_HEAD_REVISION] == git(clone, "rev-parse", "HEAD")
        assert found.get(attributes.VCS_REF_HEAD_NAME, "HEAD") == git(clone, "rev-parse", "--abbrev-ref", "HEAD")


def test_copied_repository_needs_nothing_but_its_files(clone: Path, tmp_path: Path) -> None:
    """A `.git` folder copied elsewhere with no work tree files gives the same attributes."""
    shutil.copytree(clone / ".git", tmp_path / "copy" / ".git")
    assert detected(tmp_path / "copy") == detected(clone)
