"""Ask the git program what `.git` alone does not tell, within a time limit."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from otel_session.build_stamp._build import commit_hash, moment, ref

_MAX_ANSWER_BYTES = 64 * 1024
# `git rev-parse --local-env-vars`: inside a hook they name the hook's repository instead of ours.
_LOCAL_VARIABLES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_GRAFT_FILE",
    "GIT_SHALLOW_FILE",
)
_QUIET = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}


class GitProgram:
    """The git program in one work tree; every answer is None when it is missing, refuses or takes too long."""

    def __init__(self, root: Path, environ: Mapping[str, str], *, timeout_s: float) -> None:
        """Set up.

        Args:
            root: Top folder of the work tree.
            environ: Variables the program runs with; `PATH` says where it is.
            timeout_s: Seconds a question may take; after one that takes longer no other is asked.
        """
        self._root = root
        self._environ = {k: v for k, v in environ.items() if k not in _LOCAL_VARIABLES} | _QUIET
        self._program = shutil.which("git", path=environ.get("PATH"))
        self._timeout_s = timeout_s

    def dirty(self, *, ignoring: Path) -> bool | None:
        """Whether tracked files differ from the commit, one file (the stamp itself) left aside."""
        paths = [":/"]
        if ignoring.is_relative_to(self._root):
            paths.append(f":(top,exclude,literal){ignoring.relative_to(self._root).as_posix()}")
        answer = self._ask("status", "--porcelain", "--untracked-files=no", "--", *paths)
        return None if answer is None else bool(answer.strip())

    def commit(self) -> tuple[str | None, datetime | None]:
        """Full hash and time (UTC) of the commit checked out."""
        answer = self._ask("-c", "log.showSignature=false", "log", "-1", "--no-color", "--format=%H %cI", "HEAD", "--")
        revision, _, time = (answer or "").strip().partition(" ")
        return commit_hash(revision), moment(time)

    def branch(self) -> str | None:
        """Name of the branch checked out; None for a detached head."""
        return ref(self._ask("symbolic-ref", "--quiet", "HEAD"))[0]

    def tag(self) -> str | None:
        """Name of a tag on the commit checked out, the one `git describe` chooses."""
        return ref(self._ask("describe", "--tags", "--exact-match", "HEAD"), "tag")[0]

    def _ask(self, *arguments: str) -> str | None:
        if self._program is None:
            return None
        # A file, not a pipe: a child that git leaves behind would keep the pipe open beyond the time limit.
        with tempfile.TemporaryFile() as answer:
            try:
                done = subprocess.run(  # noqa: S603 - a program found on PATH, arguments of our own
                    [self._program, "-c", "core.fsmonitor=false", *arguments],
                    cwd=self._root,
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=answer,
                    stderr=subprocess.DEVNULL,
                    timeout=self._timeout_s,
                    check=False,
                )
            except (OSError, ValueError, subprocess.SubprocessError):
                self._program = None  # what failed to start or to answer once is not waited for again
                return None
            answer.seek(0)
            text = answer.read(_MAX_ANSWER_BYTES).decode("utf-8", "replace")
        return text if done.returncode == 0 else None
