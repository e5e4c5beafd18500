"""Make the stamp file while git is at hand."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from otel_session.build_stamp import _objects
from otel_session.build_stamp._build import Build, encodable, ref, same_commit
from otel_session.build_stamp._ci import ci_builds
from otel_session.build_stamp._program import GitProgram
from otel_session.build_stamp._repository import Repository, address, find_repository, read_head
from otel_session.build_stamp._stamp import STAMP_NAME, BuildStamp, made_stamp
from otel_session.build_stamp._tags import tag_at
from otel_session.build_stamp._variables import explicit_build
from otel_session.config import environment
from otel_session.exceptions import BuildStampError

_GIT_TIMEOUT_S = 10.0


def write_stamp(
    folder: str | Path = ".", *, output: str | Path | None = None, environ: Mapping[str, str] | None = None
) -> BuildStamp:
    """Make `build_stamp.json` for the commit that is checked out.

    Works in clones, shallow clones, linked work trees, submodules and dirty trees. A detached head is named by the CI
    service's variables when they are about this very commit, else by a tag on it. The git program is asked whether the
    tree is dirty and for what `.git` does not tell; without it, or when it takes ten seconds, `dirty` is None.

    Args:
        folder: A folder in the work tree.
        output: The file to write, relative to the working directory; `build_stamp.json` in `folder` by default.
            A file that is there is replaced in one step and keeps its permissions.
        environ: Variables to read: the CI service's, `OTEL_SESSION_BUILD_*` (the branch and repository to state
            instead), and `PATH`, where git is found; the process's own by default.

    Raises:
        BuildStampError: The folder is in no git repository, there is no commit yet, or the file cannot be written.
    """
    variables = environment() if environ is None else environ
    start = Path(folder)
    if not os.path.isdir(start):
        raise BuildStampError(f"{start} is not a folder; name one that is in a git repository.")
    repository = find_repository(start)
    if repository is None:
        raise BuildStampError(
            f"{os.path.realpath(start)} is not in a git repository, so there is no commit to stamp. Make the stamp "
            "where the repository is, before its files are copied into an image."
        )
    target = Path(os.path.realpath(start / STAMP_NAME if output is None else output))
    stamp = _stamp(repository, target, variables)
    _replace(target, json.dumps(stamp.as_dict(), indent=2) + "\n")
    return stamp


def _stamp(repository: Repository, target: Path, variables: Mapping[str, str]) -> BuildStamp:
    program = GitProgram(repository.root, variables, timeout_s=_GIT_TIMEOUT_S)
    head = read_head(repository)
    asked_revision, commit_time = program.commit()
    revision = head.revision or asked_revision
    if revision is None:
        raise BuildStampError(
            f"The repository in {repository.root} has no commit that can be read; commit something first, or install "
            "git if it keeps its references in another format than files (reftable)."
        )
    name, kind = ref(encodable(head.branch), None) if head.branch else (program.branch(), "branch")
    found = Build(revision, name, kind if name else None, repository=address(repository))
    if name is None:
        found = _named(found, repository, program, variables)
    stated = explicit_build(variables)
    if stated.revision is None or same_commit(stated.revision, revision):
        found = stated.filled_by(found)
    return made_stamp(
        found._replace(revision=revision, dirty=program.dirty(ignoring=target)),
        now=datetime.now(timezone.utc),
        commit_time=commit_time or _objects.commit_time(repository.common_dir, revision),
    )


def _named(found: Build, repository: Repository, program: GitProgram, variables: Mapping[str, str]) -> Build:
    for build in ci_builds(variables):
        found = found.filled_by(build)
    if found.name is None and found.revision:
        tag = program.tag() or tag_at(repository, found.revision)
        found = found._replace(name=tag, ref_type="tag" if tag else None)
    return found


def _replace(target: Path, text: str) -> None:
    """Write the file beside its place, then put it there in one step: no reader ever sees half of it."""
    beside = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if os.path.exists(target):
                os.chmod(beside, os.stat(target).st_mode & 0o777)
            os.replace(beside, target)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise BuildStampError(f"{target} cannot be written: {error.strerror or error}.") from error
