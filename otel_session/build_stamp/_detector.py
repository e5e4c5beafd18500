"""The resource detector: which build is running, on all telemetry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from opentelemetry.sdk.resources import Resource, ResourceDetector

from otel_session import attributes
from otel_session._guard import report
from otel_session.build_stamp._build import SHORT_LENGTH, Build, commit_hash
from otel_session.build_stamp._ci import ci_builds
from otel_session.build_stamp._file import read_stamp, start_folders
from otel_session.build_stamp._repository import find_repository, read_build
from otel_session.build_stamp._stamp import build_of
from otel_session.build_stamp._tags import tag_at
from otel_session.build_stamp._variables import explicit_build, given_attributes, platform_build
from otel_session.config import environment


class BuildStampDetector(ResourceDetector):
    """Puts commit, branch, build date and repository on the resource.

    Asked in this order; a later source only fills gaps, and only when it names the same commit:

    1. `OTEL_SESSION_BUILD_COMMIT`, `_BRANCH`, `_TAG`, `_DATE` (RFC 3339), `_DIRTY` (true or false), `_REPOSITORY`
       (web address) and `_VERSION`; then `vcs.*` in `OTEL_RESOURCE_ATTRIBUTES`.
    2. The stamp file, as `find_stamp` finds it.
    3. What platforms and images set: `HEROKU_BUILD_COMMIT`, `HEROKU_SLUG_COMMIT`, `RENDER_GIT_*`, `RAILWAY_GIT_*`,
       `VERCEL_GIT_*`, `KOYEB_GIT_*`, `GIT_COMMIT`, `GIT_COMMIT_SHA`, `GIT_SHA`, `COMMIT_SHA`, `VCS_REF`,
       `SOURCE_COMMIT`, `SOURCE_VERSION`, `GIT_BRANCH`, `GIT_URL`, `BUILD_DATE`.
    4. `.git` of the main script's folder or the working directory, read without the git program.
    5. The variables of CI services.

    `service.version` is the version stated, else the tag, else the short commit. It is left out when
    `OTEL_RESOURCE_ATTRIBUTES` has it; to let other detectors win too, name this one before them in
    `OTEL_EXPERIMENTAL_RESOURCE_DETECTORS`, since of two detectors the later one wins.

    It starts no program, reads only regular files of bounded size, never raises, and has no schema URL (the SDK drops
    what comes with another one). It takes about a millisecond.
    """

    def __init__(self, *, environ: Mapping[str, str] | None = None, folder: str | Path | None = None) -> None:
        """Set up; the SDK calls it without arguments.

        Args:
            environ: Variables to read; the process's own by default.
            folder: Look here instead of beside the main script and in the working directory.
        """
        super().__init__(raise_on_error=False)
        self._environ = environ
        self._folder = folder

    def detect(self) -> Resource:
        """The build's attributes; empty when nothing is known or, with one line in the log, when finding out fails."""
        try:
            environ = environment() if self._environ is None else self._environ
            given = given_attributes(environ)
            found = _attributes(self._build(environ))
            return Resource({name: value for name, value in found.items() if name not in given})
        except Exception:
            report("build_stamp.detect")
            return Resource.get_empty()

    def _build(self, environ: Mapping[str, str]) -> Build:
        sources: tuple[Callable[[Build], Build], ...] = (
            lambda build: build.filled_by(explicit_build(environ)),
            self._from_stamp,
            lambda build: build.filled_by(platform_build(environ)),
            self._from_repository,
            lambda build: _from_ci(build, environ),
            self._from_tag,
        )
        build = Build()
        for number, source in enumerate(sources, 1):
            try:
                build = source(build)
            except Exception:
                report(f"build_stamp.detect, source {number}")
        return build

    def _from_stamp(self, build: Build) -> Build:
        stamp = read_stamp(environ=self._environ, folder=self._folder)
        return build.filled_by(build_of(stamp)) if stamp else build

    def _from_repository(self, build: Build) -> Build:
        for folder in start_folders(self._folder):
            if repository := find_repository(folder):
                return build.filled_by(read_build(repository))
        return build

    def _from_tag(self, build: Build) -> Build:
        """Last of all: that a tag happens to be on the commit is weaker than any word for it."""
        if build.name is not None or build.revision is None:
            return build
        for folder in start_folders(self._folder):
            if repository := find_repository(folder):
                tag = tag_at(repository, build.revision)
                return build._replace(name=tag, ref_type="tag") if tag else build
        return build


def running_commit() -> str | None:
    """The commit that is running, as people are shown it; None when nobody knows. What the resource says, too."""
    revision = BuildStampDetector()._build(environment()).revision
    return revision[:SHORT_LENGTH] if revision and commit_hash(revision) else revision


def _from_ci(build: Build, environ: Mapping[str, str]) -> Build:
    for candidate in ci_builds(environ):
        build = build.filled_by(candidate)
    return build


def _attributes(build: Build) -> dict[str, str | bool]:
    short = build.revision[:SHORT_LENGTH] if commit_hash(build.revision) and build.revision else build.revision
    found: dict[str, str | bool | None] = {
        attributes.VCS_REF_HEAD_REVISION: build.revision,
        attributes.VCS_REF_HEAD_NAME: build.name,
        attributes.VCS_REF_TYPE: build.ref_type,
        attributes.VCS_REPOSITORY_URL_FULL: build.repository,
        attributes.BUILD_DATE: build.date,
        attributes.BUILD_DIRTY: build.dirty,
        attributes.SERVICE_VERSION: build.version or (build.name if build.ref_type == "tag" else None) or short,
    }
    return {name: value for name, value in found.items() if value is not None}
