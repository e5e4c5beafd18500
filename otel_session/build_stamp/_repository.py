"""A git repository's head, read from `.git` without the git program.

What is where: gitrepository-layout(5) of git's own documentation.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from otel_session._patterns import lazily
from otel_session.build_stamp._build import Build, commit_hash, encodable
from otel_session.build_stamp._build import ref as clean_ref
from otel_session.build_stamp._config import remote_url
from otel_session.build_stamp._reading import read_or_none
from otel_session.build_stamp._urls import repository_url

MAX_LEVELS = 64
"""Folders looked at on the way up; deeper ones do not occur."""

_MAX_REF_BYTES = 4096
_MAX_PACKED_REFS_BYTES = 16 << 20
_MAX_SYMBOLIC_REFS = 5
_FULL_HASH = lazily(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BAD_IN_REF = lazily(r"[\x00-\x20\x7f~^:?*\[\\]|//|(?:^|/)\.|[/.]$")


class Repository(NamedTuple):
    """Where a work tree and its git folders are.

    Attributes:
        root: Top folder of the work tree.
        git_dir: Its own git folder: `HEAD` is in it.
        common_dir: The git folder shared by all work trees: references, objects and configuration are in it.
    """

    root: Path
    git_dir: Path
    common_dir: Path


class Head(NamedTuple):
    """What is checked out; each field is None when it cannot be told.

    Attributes:
        revision: Full commit hash.
        branch: Full name of the branch, `refs/heads/main`; None for a detached head.
    """

    revision: str | None = None
    branch: str | None = None


def folders_upwards(folder: Path) -> list[Path]:
    """The folder and those above it, as the file system has them (symbolic links resolved)."""
    real = Path(os.path.realpath(folder))
    return [real, *real.parents][:MAX_LEVELS]


def find_repository(folder: Path) -> Repository | None:
    """The repository whose work tree the folder is in, or None.

    An unusable `.git` folder is passed over as git does; an unusable `.git` file (a work tree or submodule whose
    repository is gone) ends the search, since the repository above has another history.
    """
    for root in folders_upwards(folder):
        dot_git = root / ".git"
        if os.path.isfile(dot_git):
            return _linked(root, dot_git)
        if os.path.isfile(dot_git / "HEAD"):
            return Repository(root, dot_git, dot_git)
    return None


def _linked(root: Path, dot_git: Path) -> Repository | None:
    line = _text(dot_git)
    if not line.startswith("gitdir: "):
        return None
    git_dir = root / line.removeprefix("gitdir: ").strip()
    if not os.path.isfile(git_dir / "HEAD"):
        return None
    shared = _text(git_dir / "commondir").strip()
    return Repository(root, git_dir, git_dir / shared if shared else git_dir)


def read_head(repository: Repository) -> Head:
    """What `HEAD` says.

    A repository that keeps its references as a reftable has a stand-in there (`refs/heads/.invalid`): nothing is
    known then, since that binary format is left to the git program.
    """
    head = _text(repository.git_dir / "HEAD").strip()
    if not head.startswith("ref:"):
        return Head(revision=_full_hash(head))
    name = head.removeprefix("ref:").strip()
    if _BAD_IN_REF.search(name) or not name.startswith("refs/"):
        return Head()
    return Head(revision=_resolved(repository, name), branch=name)


def read_build(repository: Repository) -> Build:
    """What `.git` says of the build; empty when it names no commit, as before the first one."""
    head = read_head(repository)
    if head.revision is None:
        return Build()
    name, ref_type = clean_ref(encodable(head.branch or ""), None)
    return Build(revision=head.revision, name=name, ref_type=ref_type, repository=address(repository))


def address(repository: Repository) -> str | None:
    """Web address of the remote `origin`, or of the only remote; see `repository_url`."""
    return repository_url(remote_url(repository.common_dir / "config"))


def packed_refs(repository: Repository) -> bytes:
    """The content of `packed-refs` with a line break before and after; empty lines when it is over 16 MiB."""
    return b"\n%b\n" % (read_or_none(repository.common_dir / "packed-refs", _MAX_PACKED_REFS_BYTES) or b"")


def loose_hash(path: Path) -> str | None:
    """The hash in a loose reference's file, or None."""
    return _full_hash(_text(path).strip())


def _resolved(repository: Repository, name: str) -> str | None:
    for _ in range(_MAX_SYMBOLIC_REFS):
        text = _text(repository.git_dir / name) or _text(repository.common_dir / name)
        if not text:
            return _packed(repository, name)
        if not text.startswith("ref:"):
            return _full_hash(text.strip())
        name = text.removeprefix("ref:").strip()
        if _BAD_IN_REF.search(name) or not name.startswith("refs/"):
            return None
    return None


def _packed(repository: Repository, name: str) -> str | None:
    lines = packed_refs(repository)
    end = lines.find(b" " + name.encode("utf-8", "surrogateescape") + b"\n")
    if end < 0:
        return None
    return _full_hash(lines[lines.rfind(b"\n", 0, end) + 1 : end].decode("ascii", "replace"))


def _full_hash(text: str) -> str | None:
    word = commit_hash(text)
    return word if word and _FULL_HASH.fullmatch(word) else None


def _text(path: Path) -> str:
    return (read_or_none(path, _MAX_REF_BYTES) or b"").decode("utf-8", "surrogateescape")
