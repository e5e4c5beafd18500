"""What CI services say, in the variables their documentation lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_session.build_stamp._build import Build
from otel_session.build_stamp._ci import ci_builds

A, B = "a" * 40, "b" * 40
WEB = "https://example.com/org/app"
MAIN = Build(A, "main", "branch", repository=WEB)
TAG = Build(A, "v1.0", "tag", repository=WEB)
REQUEST = Build(A, "feature/x", "branch", repository=WEB)

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SHA": A,
    "GITHUB_SERVER_URL": "https://example.com",
    "GITHUB_REPOSITORY": "org/app",
}
GITLAB = {"GITLAB_CI": "true", "CI": "true", "CI_COMMIT_SHA": A, "CI_PROJECT_URL": WEB}
WOODPECKER = {"CI": "woodpecker", "CI_COMMIT_SHA": A, "CI_REPO_URL": WEB, "CI_COMMIT_BRANCH": "main"}
DRONE = {"DRONE": "true", "CI": "true", "DRONE_COMMIT_SHA": A, "DRONE_REPO_LINK": WEB, "DRONE_BRANCH": "main"}
JENKINS = {
    "JENKINS_URL": "https://ci.example.com/",
    "GIT_COMMIT": A,
    "GIT_URL": "https://bot:secret@example.com/org/app.git",
}
CIRCLE = {"CIRCLECI": "true", "CIRCLE_SHA1": A, "CIRCLE_REPOSITORY_URL": "git@example.com:org/app.git"}
BITBUCKET = {"BITBUCKET_BUILD_NUMBER": "7", "BITBUCKET_COMMIT": A, "BITBUCKET_GIT_HTTP_ORIGIN": WEB}
BUILDKITE = {"BUILDKITE": "true", "BUILDKITE_COMMIT": A, "BUILDKITE_REPO": "git@example.com:org/app.git"}
AZURE = {"BUILD_BUILDURI": "vstfs:///Build/Build/1", "BUILD_SOURCEVERSION": A, "BUILD_REPOSITORY_URI": WEB}
CODEBUILD = {
    "CODEBUILD_BUILD_ID": "x:1",
    "CODEBUILD_RESOLVED_SOURCE_VERSION": A,
    "CODEBUILD_SOURCE_REPO_URL": WEB + ".git",
}
SEMAPHORE = {"SEMAPHORE": "true", "SEMAPHORE_GIT_SHA": A, "SEMAPHORE_GIT_URL": "git@example.com:org/app.git"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (GITHUB | {"GITHUB_EVENT_NAME": "push", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"}, MAIN),
        (GITHUB | {"GITHUB_EVENT_NAME": "push", "GITHUB_REF_NAME": "v1.0", "GITHUB_REF_TYPE": "tag"}, TAG),
        (
            GITHUB
            | {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF_NAME": "7/merge", "GITHUB_HEAD_REF": "feature/x"},
            REQUEST,
        ),
        (GITLAB | {"CI_COMMIT_BRANCH": "main", "CI_COMMIT_REF_NAME": "main"}, MAIN),
        (GITLAB | {"CI_COMMIT_TAG": "v1.0", "CI_COMMIT_REF_NAME": "v1.0"}, TAG),
        (GITLAB | {"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feature/x", "CI_COMMIT_REF_NAME": "feature/x"}, REQUEST),
        (WOODPECKER, MAIN),
        (WOODPECKER | {"CI_COMMIT_TAG": "v1.0"}, TAG),
        (WOODPECKER | {"CI_COMMIT_SOURCE_BRANCH": "feature/x", "CI_COMMIT_TARGET_BRANCH": "main"}, REQUEST),
        (DRONE, MAIN),
        (DRONE | {"DRONE_TAG": "v1.0"}, TAG),
        (DRONE | {"DRONE_SOURCE_BRANCH": "feature/x"}, REQUEST),
        (JENKINS | {"GIT_BRANCH": "origin/main"}, MAIN),
        (JENKINS | {"BRANCH_NAME": "v1.0", "TAG_NAME": "v1.0", "GIT_BRANCH": "v1.0"}, TAG),
        (JENKINS | {"BRANCH_NAME": "PR-7", "CHANGE_BRANCH": "feature/x", "GIT_BRANCH": "PR-7"}, REQUEST),
        (CIRCLE | {"CIRCLE_BRANCH": "main"}, MAIN),
        (CIRCLE | {"CIRCLE_TAG": "v1.0"}, TAG),
        (BITBUCKET | {"BITBUCKET_BRANCH": "main"}, MAIN),
        (BITBUCKET | {"BITBUCKET_TAG": "v1.0"}, TAG),
        (BUILDKITE | {"BUILDKITE_BRANCH": "main"}, MAIN),
        (BUILDKITE | {"BUILDKITE_BRANCH": "v1.0", "BUILDKITE_TAG": "v1.0"}, TAG),
        (AZURE | {"BUILD_SOURCEBRANCH": "refs/heads/main"}, MAIN),
        (AZURE | {"BUILD_SOURCEBRANCH": "refs/tags/v1.0"}, TAG),
        (
            AZURE
            | {"BUILD_SOURCEBRANCH": "refs/pull/7/merge", "SYSTEM_PULLREQUEST_SOURCEBRANCH": "refs/heads/feature/x"},
            REQUEST,
        ),
        (CODEBUILD | {"CODEBUILD_WEBHOOK_HEAD_REF": "refs/heads/main"}, MAIN),
        (CODEBUILD | {"CODEBUILD_WEBHOOK_HEAD_REF": "refs/tags/v1.0"}, TAG),
        ({"TRAVIS": "true", "TRAVIS_COMMIT": A, "TRAVIS_BRANCH": "main"}, Build(A, "main", "branch")),
        (SEMAPHORE | {"SEMAPHORE_GIT_BRANCH": "main"}, MAIN),
    ],
)
def test_branch_tag_and_change_request_of_each_service(environ: dict[str, str], expected: Build) -> None:
    """A push gives the branch, a tag build the tag, a change request its source branch; credentials never appear."""
    assert ci_builds(environ) == (expected,)


def test_outside_of_ci() -> None:
    """Without a service's mark its variables mean nothing, and a mark without a commit gives nothing."""
    assert ci_builds({"CI_COMMIT_SHA": A, "CI_COMMIT_BRANCH": "main", "GIT_COMMIT": A}) == ()
    assert ci_builds({"CI": "true", "GITLAB_CI": "true", "CI_COMMIT_SHA": "HEAD"}) == ()
    assert ci_builds({"GITHUB_ACTIONS": "true"}) == ()


def test_pull_request_head_checked_out_by_hand(tmp_path: Path) -> None:
    """The request's own head, which the event file names, has the source branch too."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"head": {"sha": B}}}))
    environ = GITHUB | {"GITHUB_HEAD_REF": "feature/x", "GITHUB_REF_NAME": "main", "GITHUB_EVENT_PATH": str(event)}
    merge, head = ci_builds(environ | {"GITHUB_EVENT_NAME": "pull_request"})
    assert (merge.revision, merge.name) == (A, "feature/x")
    assert (head.revision, head.name) == (B, "feature/x")
    target, head = ci_builds(environ | {"GITHUB_EVENT_NAME": "pull_request_target"})
    assert (target.revision, target.name) == (A, "main")
    assert (head.revision, head.name) == (B, "feature/x")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"pull_request": 5}', b"\xff", b"[" * 100_000, b" " * 2_000_000])
def test_broken_event_file(tmp_path: Path, content: bytes) -> None:
    """An event file that cannot be used leaves what the variables say."""
    event = tmp_path / "event.json"
    event.write_bytes(content)
    environ = GITHUB | {
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_HEAD_REF": "feature/x",
        "GITHUB_EVENT_PATH": str(event),
    }
    assert ci_builds(environ) == (REQUEST,)


def test_merge_request_pipeline_of_merged_results() -> None:
    """GitLab's merge of source and target, and the source's head beside it, both have the source branch's name."""
    environ = GITLAB | {"CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": B, "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feature/x"}
    assert [(b.revision, b.name) for b in ci_builds(environ)] == [(A, "feature/x"), (B, "feature/x")]
