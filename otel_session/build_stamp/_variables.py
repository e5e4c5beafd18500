"""What environment variables say of the build: those meant for us, and those that platforms and images set."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from otel_session import attributes
from otel_session.build_stamp._build import Build, commit_hash, encodable, flag, moment, ref, revision_word
from otel_session.build_stamp._urls import repository_url
from otel_session.build_stamp._warning import warn_once

COMMIT = "OTEL_SESSION_BUILD_COMMIT"
BRANCH = "OTEL_SESSION_BUILD_BRANCH"
TAG = "OTEL_SESSION_BUILD_TAG"
DATE = "OTEL_SESSION_BUILD_DATE"
DIRTY = "OTEL_SESSION_BUILD_DIRTY"
REPOSITORY = "OTEL_SESSION_BUILD_REPOSITORY"
VERSION = "OTEL_SESSION_BUILD_VERSION"

_EXPECTED = {
    COMMIT: "a commit hash",
    BRANCH: "the name of a branch",
    TAG: "the name of a tag",
    DATE: "a moment such as 2025-12-16T07:26:50Z",
    DIRTY: "true or false",
    REPOSITORY: "a web address such as https://example.com/org/project",
}

# (commit, branch, repository). Heroku's slug commit goes stale on pipelines, so the build commit comes first
# (getsentry/sentry-ruby#563). Cloud Run's K_REVISION names a deployment, not a commit, and is not here.
_PLATFORMS = (
    ("HEROKU_BUILD_COMMIT", "", ""),  # devcenter.heroku.com/articles/dyno-metadata
    ("HEROKU_SLUG_COMMIT", "", ""),
    ("RENDER_GIT_COMMIT", "RENDER_GIT_BRANCH", ""),  # render.com/docs/environment-variables
    ("RAILWAY_GIT_COMMIT_SHA", "RAILWAY_GIT_BRANCH", ""),  # docs.railway.com/variables/reference
    ("VERCEL_GIT_COMMIT_SHA", "VERCEL_GIT_COMMIT_REF", ""),  # vercel.com/docs/environment-variables
    ("KOYEB_GIT_SHA", "KOYEB_GIT_BRANCH", "KOYEB_GIT_REPOSITORY"),  # koyeb.com/docs/build-and-deploy
)
# What Dockerfiles call the build argument they keep; SOURCE_COMMIT is Docker Hub's, SOURCE_VERSION Heroku's.
_IMAGE_ARGUMENTS = (
    ("GIT_COMMIT", "GIT_BRANCH", "GIT_URL"),
    ("GIT_COMMIT_SHA", "GIT_BRANCH", "GIT_URL"),
    ("GIT_SHA", "GIT_BRANCH", "GIT_URL"),
    ("COMMIT_SHA", "GIT_BRANCH", "GIT_URL"),
    ("VCS_REF", "", "VCS_URL"),
    ("SOURCE_COMMIT", "SOURCE_BRANCH", ""),
    ("SOURCE_VERSION", "", ""),
)


def explicit_build(environ: Mapping[str, str]) -> Build:
    """What `OTEL_SESSION_BUILD_*` and then `OTEL_RESOURCE_ATTRIBUTES` say.

    A value that cannot be used is ignored with one warning, which shows it unless it may hold credentials.
    """
    tag, branch = ref(environ.get(TAG), "tag"), ref(environ.get(BRANCH))
    name, kind = tag if tag[0] else branch
    date = moment(environ.get(DATE))
    build = Build(
        revision=revision_word(environ.get(COMMIT)),
        name=name,
        ref_type=kind,
        date=date.isoformat() if date else None,
        dirty=flag(environ.get(DIRTY)),
        repository=repository_url(environ.get(REPOSITORY)),
        version=encodable(environ.get(VERSION, "").strip()[:256]) or None,
    )
    understood = (build.revision, branch[0], tag[0], build.date, build.dirty, build.repository)
    for (variable, expected), value in zip(_EXPECTED.items(), understood, strict=True):
        if value is None and environ.get(variable, "").strip():
            seen = "set" if variable == REPOSITORY else repr(environ[variable][:100])
            warn_once(variable, "%s is %s; expected %s. It is ignored.", variable, seen, expected)
    return build.filled_by(_from_resource(given_attributes(environ)))


def given_attributes(environ: Mapping[str, str]) -> dict[str, str]:
    """Name → value of `OTEL_RESOURCE_ATTRIBUTES`; empty with `OTEL_CONFIG_FILE`, under which the SDK ignores it."""
    if environ.get("OTEL_CONFIG_FILE", "").strip():
        return {}
    pairs = (item.split("=", 1) for item in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",") if "=" in item)
    return {key.strip(): unquote(value.strip()) for key, value in pairs}


def _from_resource(given: Mapping[str, str]) -> Build:
    name, kind = ref(given.get(attributes.VCS_REF_HEAD_NAME), given.get(attributes.VCS_REF_TYPE))
    return Build(
        revision=revision_word(given.get(attributes.VCS_REF_HEAD_REVISION)),
        name=name,
        ref_type=kind,
        repository=repository_url(given.get(attributes.VCS_REPOSITORY_URL_FULL)),
    )


def platform_build(environ: Mapping[str, str]) -> Build:
    """What the platform or the image says; empty unless one of its variables is a commit hash.

    Jenkins uses the same names as images for something else: they are left to the CI services there.
    """
    rows = _PLATFORMS if environ.get("JENKINS_URL") else _PLATFORMS + _IMAGE_ARGUMENTS
    for commit, branch, repository in rows:
        revision = commit_hash(environ.get(commit))
        if revision is None:
            continue
        name, kind = ref(environ.get(branch))
        build = Build(revision, name, kind, repository=_address(environ.get(repository)))
        if (commit, branch, repository) in _PLATFORMS:
            return build
        date = moment(environ.get("BUILD_DATE"))
        return build._replace(date=date.isoformat() if date else None)
    return Build()


def _address(text: str | None) -> str | None:
    return repository_url(text) or repository_url(f"https://{text}" if text else None)
