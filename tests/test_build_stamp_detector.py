"""The detector: which source wins, what is filled in, and how it stands among the SDK's own."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import OTELResourceDetector, Resource, get_aggregated_resources

from otel_session import attributes, config
from otel_session.build_stamp import BuildStampDetector, _detector
from otel_session.build_stamp import _warning as warning

A, B, C, D, E = (digit * 40 for digit in "abcde")
REVISION = attributes.VCS_REF_HEAD_REVISION
NAME = attributes.VCS_REF_HEAD_NAME
KIND = attributes.VCS_REF_TYPE
REPOSITORY = attributes.VCS_REPOSITORY_URL_FULL
VERSION = attributes.SERVICE_VERSION


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing said yet, and no configuration in force."""
    monkeypatch.setattr(warning, "_said", set())
    config.activate(None)
    yield
    config.activate(None)


def put_stamp(folder: Path, commit: str, **more: object) -> None:
    (folder / "build_stamp.json").write_text(json.dumps({"commit": commit[:7], "revision": commit, **more}))


def put_git(folder: Path, commit: str, head: str = "ref: refs/heads/main") -> None:
    git = folder / ".git"
    (git / "refs" / "heads").mkdir(parents=True, exist_ok=True)
    (git / "HEAD").write_text(head + "\n")
    (git / "refs" / "heads" / "main").write_text(commit + "\n")
    (git / "config").write_text('[remote "origin"]\n\turl = git@example.com:org/app.git\n')


def detected(folder: Path, **environ: str) -> dict[str, object]:
    return dict(BuildStampDetector(environ=environ, folder=folder).detect().attributes)


def test_order_of_the_sources(tmp_path: Path) -> None:
    """Explicit variables, stamp, image, `.git`, CI: taking the first away brings up the next."""
    explicit = {"OTEL_SESSION_BUILD_COMMIT": A}
    image = {"RENDER_GIT_COMMIT": C}
    ci = {"CIRCLECI": "true", "CIRCLE_SHA1": E}
    put_stamp(tmp_path, B)
    put_git(tmp_path, D)
    assert detected(tmp_path, **explicit, **image, **ci)[REVISION] == A
    assert detected(tmp_path, **image, **ci)[REVISION] == B
    (tmp_path / "build_stamp.json").unlink()
    assert detected(tmp_path, **image, **ci)[REVISION] == C
    assert detected(tmp_path, **ci)[REVISION] == D
    (tmp_path / ".git" / "HEAD").unlink()
    assert detected(tmp_path, **ci)[REVISION] == E
    assert detected(tmp_path) == {}


def test_sources_about_one_commit_complete_each_other(tmp_path: Path) -> None:
    """A short hash with a date, the full one with the branch: together one build."""
    put_stamp(tmp_path, A[:7], timestamp="2025-12-16T07:26:50.123456+00:00", dirty=True)
    put_git(tmp_path, A)
    assert detected(tmp_path) == {
        REVISION: A,
        NAME: "main",
        KIND: "branch",
        REPOSITORY: "https://example.com/org/app",
        attributes.BUILD_DATE: "2025-12-16T07:26:50.123456+00:00",
        attributes.BUILD_DIRTY: True,
        VERSION: A[:7],
    }


def test_sources_about_two_commits_are_not_mixed(tmp_path: Path) -> None:
    """The date of an old stamp is not put on another commit, nor another commit's branch on the stamp's."""
    put_stamp(tmp_path, B, timestamp="2025-12-16T07:26:50+00:00")
    put_git(tmp_path, D)
    assert detected(tmp_path, OTEL_SESSION_BUILD_COMMIT=A) == {REVISION: A, VERSION: A[:7]}
    assert NAME not in detected(tmp_path)
    assert detected(tmp_path, OTEL_SESSION_BUILD_COMMIT=B[:6])[REVISION] == B[:6], "six digits are no commit's name"


def test_kind_of_another_reference_is_not_taken(tmp_path: Path) -> None:
    """When a stamp names a reference without its kind, the kind of another reference to the commit is not put on it."""
    put_stamp(tmp_path, D, branch="release")
    put_git(tmp_path, D)
    assert (detected(tmp_path)[NAME], KIND in detected(tmp_path)) == ("release", False)
    put_stamp(tmp_path, D, branch="main")
    assert (detected(tmp_path)[NAME], detected(tmp_path)[KIND]) == ("main", "branch")


def test_explicit_words_without_a_commit_are_put_on_the_next_source(tmp_path: Path) -> None:
    """A branch, date, address or version stated alone goes with whatever commit is found."""
    put_git(tmp_path, D)
    found = detected(
        tmp_path,
        OTEL_SESSION_BUILD_TAG="v1.2.3",
        OTEL_SESSION_BUILD_DATE="2025-12-16T08:26:50+01:00",
        OTEL_SESSION_BUILD_DIRTY="no",
        OTEL_SESSION_BUILD_REPOSITORY="https://me:secret@example.org/other.git",
    )
    assert found == {
        REVISION: D,
        NAME: "v1.2.3",
        KIND: "tag",
        REPOSITORY: "https://example.org/other",
        attributes.BUILD_DATE: "2025-12-16T07:26:50+00:00",
        attributes.BUILD_DIRTY: False,
        VERSION: "v1.2.3",
    }
    assert detected(tmp_path, OTEL_SESSION_BUILD_VERSION="2026.1")[VERSION] == "2026.1"


def test_explicit_word_that_cannot_be_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is ignored with one line that names variable, value and what was expected; an address is not shown."""
    environ = {
        "OTEL_SESSION_BUILD_DATE": "yesterday",
        "OTEL_SESSION_BUILD_DIRTY": "perhaps",
        "OTEL_SESSION_BUILD_COMMIT": "not a commit",
        "OTEL_SESSION_BUILD_REPOSITORY": "https://u:sec/ret@example.com/x",
    }
    assert detected(tmp_path, **environ) == {}
    assert detected(tmp_path, **environ) == {}
    lines = [r.getMessage() for r in caplog.records]
    assert len(lines) == 4
    assert "OTEL_SESSION_BUILD_DIRTY is 'perhaps'; expected true or false. It is ignored." in lines
    assert "ret@" not in caplog.text


@pytest.mark.parametrize(
    "environ",
    [
        {"HEROKU_BUILD_COMMIT": A, "HEROKU_SLUG_COMMIT": B},
        {"HEROKU_SLUG_COMMIT": A, "SOURCE_VERSION": B},
        {"RENDER_GIT_COMMIT": A},
        {"RAILWAY_GIT_COMMIT_SHA": A},
        {"VERCEL_GIT_COMMIT_SHA": A},
        {"KOYEB_GIT_SHA": A},
        {"GIT_COMMIT": A.upper()},
        {"GIT_COMMIT": "unknown", "GIT_SHA": A},
        {"COMMIT_SHA": A},
        {"VCS_REF": A},
        {"SOURCE_COMMIT": A},
        {"SOURCE_VERSION": A, "K_REVISION": "app-00042-xyz"},
    ],
)
def test_platforms_and_images(tmp_path: Path, environ: dict[str, str]) -> None:
    """Each platform's and image's variable gives the commit; placeholders and deployment names do not."""
    assert detected(tmp_path, **environ) == {REVISION: A, VERSION: A[:7]}


def test_more_than_the_commit_from_platforms_and_images(tmp_path: Path) -> None:
    """Branch, repository and build date are taken where the platform or image has them."""
    assert detected(tmp_path, KOYEB_GIT_SHA=A, KOYEB_GIT_BRANCH="main", KOYEB_GIT_REPOSITORY="example.com/org/app") == {
        REVISION: A,
        NAME: "main",
        KIND: "branch",
        REPOSITORY: "https://example.com/org/app",
        VERSION: A[:7],
    }
    assert detected(
        tmp_path,
        GIT_COMMIT=A,
        GIT_BRANCH="main",
        GIT_URL="git@example.com:org/app.git",
        BUILD_DATE="2025-12-16T07:26:50Z",
    ) == {
        REVISION: A,
        NAME: "main",
        KIND: "branch",
        REPOSITORY: "https://example.com/org/app",
        attributes.BUILD_DATE: "2025-12-16T07:26:50+00:00",
        VERSION: A[:7],
    }


def test_jenkins_is_no_image(tmp_path: Path) -> None:
    """GIT_BRANCH is a remote-tracking branch in Jenkins, and GIT_COMMIT stands behind `.git` there."""
    jenkins = {"JENKINS_URL": "https://ci.example.com", "GIT_COMMIT": A, "GIT_BRANCH": "origin/main"}
    assert detected(tmp_path, **jenkins)[NAME] == "main"
    put_git(tmp_path, D)
    assert detected(tmp_path, **jenkins)[REVISION] == D


def sdk_resource(monkeypatch: pytest.MonkeyPatch, ours: BuildStampDetector, given: str) -> Resource:
    """What the SDK makes of our detector and its own, which it puts last."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", given)
    return get_aggregated_resources([ours, OTELResourceDetector()], Resource.get_empty())


def test_users_resource_attributes_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What OTEL_RESOURCE_ATTRIBUTES says stands, in whichever order the SDK asks; the rest is about the same commit."""
    put_git(tmp_path, D)
    given = f"service.version=1.2.3,{REVISION}={A},{NAME}=feature%2Fx"
    ours = BuildStampDetector(environ={"OTEL_RESOURCE_ATTRIBUTES": given}, folder=tmp_path)
    for detectors in ([ours, OTELResourceDetector()], [OTELResourceDetector(), ours]):
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", given)
        found = get_aggregated_resources(detectors, Resource.get_empty()).attributes
        assert dict(found) == {VERSION: "1.2.3", REVISION: A, NAME: "feature/x"}


def test_version_is_ours_when_nobody_else_sets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a version from elsewhere the short commit is the service's version; attributes in code win."""
    put_git(tmp_path, D)
    found = sdk_resource(monkeypatch, BuildStampDetector(environ={}, folder=tmp_path), "service.name=shop")
    assert found.attributes[VERSION] == D[:7]
    assert found.merge(Resource({VERSION: "2.0"})).attributes[VERSION] == "2.0"


def test_configuration_file_hides_the_variable(tmp_path: Path) -> None:
    """With OTEL_CONFIG_FILE the SDK ignores OTEL_RESOURCE_ATTRIBUTES, and so does the detector."""
    put_git(tmp_path, D)
    found = detected(tmp_path, OTEL_CONFIG_FILE="otel.yaml", OTEL_RESOURCE_ATTRIBUTES="service.version=1.2.3")
    assert found[VERSION] == D[:7]


def test_schema_url_is_empty(tmp_path: Path) -> None:
    """The resource has no schema URL, so that merging it never fails."""
    put_git(tmp_path, D)
    ours = BuildStampDetector(environ={}, folder=tmp_path).detect()
    assert ours.schema_url == ""
    merged = Resource({}, "https://opentelemetry.io/schemas/1.40.0").merge(ours)
    assert merged.attributes[REVISION] == D


def test_one_failing_source_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A source that raises is logged once, and the next one is asked."""

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("otel_session._guard._reported", set())
    monkeypatch.setattr(_detector, "platform_build", broken)
    put_git(tmp_path, D)
    assert detected(tmp_path)[REVISION] == D
    assert detected(tmp_path)[REVISION] == D
    assert [r.levelno for r in caplog.records] == [logging.WARNING]


def test_failure_of_everything_is_an_empty_resource(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even when the environment cannot be read, the application starts, with one line in the log."""

    def broken() -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("otel_session._guard._reported", set())
    monkeypatch.setattr(_detector, "environment", broken)
    assert dict(BuildStampDetector(folder=tmp_path).detect().attributes) == {}
    assert len(caplog.records) == 1


def test_main_script_says_whose_code_runs(tmp_path: Path) -> None:
    """A real process: the commit is that of the script's repository, not of the working directory's."""
    for name, commit in (("app", A), ("here", B)):
        (tmp_path / name).mkdir()
        put_git(tmp_path / name, commit)
    script = tmp_path / "app" / "main.py"
    script.write_text(
        "from otel_session.build_stamp import BuildStampDetector\n"
        f"print(BuildStampDetector().detect().attributes[{REVISION!r}])\n"
    )
    root = str(Path(__file__).parent.parent)
    for command, expected in (([str(script)], A), (["-c", script.read_text()], B)):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path / "here",
            env={"PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected
