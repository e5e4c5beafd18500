"""What continuous integration services say in environment variables about the commit they build.

Sources are the services' own references of predefined variables, named beside each row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from otel_session.build_stamp._build import Build, commit_hash, ref
from otel_session.build_stamp._reading import read_or_none
from otel_session.build_stamp._urls import repository_url

_MAX_EVENT_BYTES = 1 << 20


class _Service(NamedTuple):
    """Names of one service's variables.

    Attributes:
        marker: `NAME` that is set, or `NAME=value`, in every build of the service.
        revisions: Commits that the branch or tag stands for.
        tag: The tag of a build made for a tag.
        branches: The branch, best first: a change request's source before its target.
        repository: The repository's address; it may hold credentials.
    """

    marker: str
    revisions: tuple[str, ...]
    tag: str
    branches: tuple[str, ...]
    repository: str


_SERVICES = (
    _Service(  # docs.gitlab.com/ci/variables/predefined_variables
        "GITLAB_CI",
        ("CI_COMMIT_SHA", "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"),
        "CI_COMMIT_TAG",
        ("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_COMMIT_BRANCH", "CI_COMMIT_REF_NAME"),
        "CI_PROJECT_URL",
    ),
    _Service(  # woodpecker-ci.org/docs/usage/environment
        "CI=woodpecker",
        ("CI_COMMIT_SHA",),
        "CI_COMMIT_TAG",
        ("CI_COMMIT_SOURCE_BRANCH", "CI_COMMIT_BRANCH"),
        "CI_REPO_URL",
    ),
    _Service(  # docs.drone.io/pipeline/environment/reference
        "DRONE",
        ("DRONE_COMMIT_SHA",),
        "DRONE_TAG",
        ("DRONE_SOURCE_BRANCH", "DRONE_BRANCH"),
        "DRONE_REPO_LINK",
    ),
    _Service(  # plugins.jenkins.io/git, and /env-vars.html of every Jenkins
        "JENKINS_URL",
        ("GIT_COMMIT",),
        "TAG_NAME",
        ("CHANGE_BRANCH", "GIT_LOCAL_BRANCH", "BRANCH_NAME", "GIT_BRANCH"),
        "GIT_URL",
    ),
    _Service(  # circleci.com/docs/variables
        "CIRCLECI", ("CIRCLE_SHA1",), "CIRCLE_TAG", ("CIRCLE_BRANCH",), "CIRCLE_REPOSITORY_URL"
    ),
    _Service(  # support.atlassian.com/bitbucket-cloud/docs/variables-and-secrets
        "BITBUCKET_BUILD_NUMBER",
        ("BITBUCKET_COMMIT",),
        "BITBUCKET_TAG",
        ("BITBUCKET_BRANCH",),
        "BITBUCKET_GIT_HTTP_ORIGIN",
    ),
    _Service(  # buildkite.com/docs/pipelines/environment-variables
        "BUILDKITE", ("BUILDKITE_COMMIT",), "BUILDKITE_TAG", ("BUILDKITE_BRANCH",), "BUILDKITE_REPO"
    ),
    _Service(  # learn.microsoft.com/azure/devops/pipelines/build/variables
        "BUILD_BUILDURI",
        ("BUILD_SOURCEVERSION",),
        "",
        ("SYSTEM_PULLREQUEST_SOURCEBRANCH", "BUILD_SOURCEBRANCH"),
        "BUILD_REPOSITORY_URI",
    ),
    _Service(  # docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-env-vars.html
        "CODEBUILD_BUILD_ID",
        ("CODEBUILD_RESOLVED_SOURCE_VERSION",),
        "",
        ("CODEBUILD_WEBHOOK_HEAD_REF",),
        "CODEBUILD_SOURCE_REPO_URL",
    ),
    _Service(  # docs.travis-ci.com/user/environment-variables
        "TRAVIS", ("TRAVIS_COMMIT",), "TRAVIS_TAG", ("TRAVIS_PULL_REQUEST_BRANCH", "TRAVIS_BRANCH"), ""
    ),
    _Service(  # docs.semaphore.io/reference/env-vars
        "SEMAPHORE",
        ("SEMAPHORE_GIT_SHA",),
        "SEMAPHORE_GIT_TAG_NAME",
        ("SEMAPHORE_GIT_PR_BRANCH", "SEMAPHORE_GIT_BRANCH"),
        "SEMAPHORE_GIT_URL",
    ),
)


def ci_builds(environ: Mapping[str, str]) -> tuple[Build, ...]:
    """The commits a CI service says it builds, the one it checks out first; empty elsewhere."""
    if environ.get("GITHUB_ACTIONS"):
        return _github(environ)
    for service in _SERVICES:
        name, _, value = service.marker.partition("=")
        if environ.get(name) and value in ("", environ[name]):
            return _builds(service, environ)
    return ()


def _builds(service: _Service, environ: Mapping[str, str]) -> tuple[Build, ...]:
    name, kind = ref(environ.get(service.tag), "tag")
    for variable in service.branches:
        if name is None:
            name, kind = ref(environ.get(variable))
    if service.marker == "JENKINS_URL" and name and kind == "branch":
        name = name.removeprefix("origin/")  # the git plugin's GIT_BRANCH is the remote-tracking branch
    build = Build(name=name, ref_type=kind, repository=repository_url(environ.get(service.repository)))
    revisions = [commit_hash(environ.get(variable)) for variable in service.revisions]
    return tuple(build._replace(revision=revision) for revision in revisions if revision)


def _github(environ: Mapping[str, str]) -> tuple[Build, ...]:
    """GitHub Actions and its likes (Gitea, Forgejo): docs.github.com/actions/reference/workflows-and-actions/variables.

    On `pull_request` the commit checked out is a merge made for the build, on `pull_request_target` the target
    branch's; workflows often check out the request's own head instead, whose hash is in the event's file alone.
    """
    server, slug = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
    address = repository_url(f"{server}/{slug}")
    name, kind = ref(environ.get("GITHUB_REF_NAME"), environ.get("GITHUB_REF_TYPE") or "branch")
    checked_out = Build(commit_hash(environ.get("GITHUB_SHA")), name, kind, repository=address)
    event = environ.get("GITHUB_EVENT_NAME", "")
    if not event.startswith("pull_request"):
        return (checked_out,) if checked_out.revision else ()
    source, source_kind = ref(environ.get("GITHUB_HEAD_REF"))
    head = Build(_pull_request_head(environ), source, source_kind, repository=address)
    if event != "pull_request_target":
        checked_out = checked_out._replace(name=source, ref_type=source_kind)
    return tuple(build for build in (checked_out, head) if build.revision)


def _pull_request_head(environ: Mapping[str, str]) -> str | None:
    content = read_or_none(Path(environ.get("GITHUB_EVENT_PATH") or ""), _MAX_EVENT_BYTES)
    try:
        return commit_hash(str(json.loads(content or b"")["pull_request"]["head"]["sha"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
