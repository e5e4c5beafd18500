"""The build stamp: what `build_stamp.json` holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

from otel_session.build_stamp._build import SHORT_LENGTH, Build, commit_hash, moment, ref, revision_word
from otel_session.build_stamp._urls import repository_url

STAMP_NAME = "build_stamp.json"
"""Name of the file."""


@dataclass(frozen=True)
class BuildStamp:
    """Which commit was built, and when; the fields are the file's keys, in its order.

    Attributes:
        commit: The commit hash's first seven digits.
        branch: Name of the branch or tag; None for a detached head that nobody names.
        timestamp: When it was built: ISO 8601 with microseconds, UTC.
        build_date: The same to the second, for people: `2025-12-16 07:26:50 UTC`.
        revision: The full commit hash when known, else as much of it as is known.
        ref_type: `branch` or `tag`; None when not known.
        dirty: Whether tracked files differed from the commit; None when not known.
        commit_time: When the commit was made: ISO 8601, UTC; None when not known.
        repository: Web address of the repository without credentials and without `.git`; None when it has none.
    """

    commit: str
    branch: str | None = None
    timestamp: str | None = None
    build_date: str | None = None
    revision: str | None = None
    ref_type: str | None = None
    dirty: bool | None = None
    commit_time: str | None = None
    repository: str | None = None

    def as_dict(self) -> dict[str, str | bool | None]:
        """The stamp as plain data for a JSON page: key → text, flag or None."""
        return asdict(self)


def made_stamp(build: Build, *, now: datetime, commit_time: datetime | None) -> BuildStamp:
    """The stamp of a build whose revision is known."""
    revision = build.revision or ""
    utc = now.astimezone(timezone.utc)
    return BuildStamp(
        commit=revision[:SHORT_LENGTH],
        branch=build.name,
        timestamp=utc.isoformat(timespec="microseconds"),
        build_date=_for_people(utc),
        revision=revision,
        ref_type=build.ref_type,
        dirty=build.dirty,
        commit_time=commit_time.isoformat() if commit_time else None,
        repository=build.repository,
    )


def stamp_from(values: Mapping[str, object]) -> BuildStamp:
    """A stamp from a file's content; other tools write such files too, so every key but `commit` may be missing.

    Raises:
        ValueError: There is no commit in it.
    """
    commit = revision_word(_text(values, "commit"))
    revision = revision_word(_text(values, "revision")) or commit
    if commit is None or revision is None:
        raise ValueError("it names no commit")
    branch, kind = ref(_text(values, "branch"), None)
    stated = _text(values, "ref_type")
    date = moment(_text(values, "timestamp")) or moment(_text(values, "build_date"))
    committed = moment(_text(values, "commit_time"))
    dirty = values.get("dirty")
    return BuildStamp(
        commit=commit[:SHORT_LENGTH] if commit_hash(commit) else commit,
        branch=branch,
        timestamp=date.isoformat(timespec="microseconds") if date else None,
        build_date=_for_people(date) if date else None,
        revision=revision,
        ref_type=stated if stated in ("branch", "tag") else kind,
        dirty=dirty if isinstance(dirty, bool) else None,
        commit_time=committed.isoformat() if committed else None,
        repository=repository_url(_text(values, "repository")),
    )


def build_of(stamp: BuildStamp) -> Build:
    """The stamp as one source among others."""
    return Build(stamp.revision, stamp.branch, stamp.ref_type, stamp.timestamp, stamp.dirty, stamp.repository)


def _for_people(utc: datetime) -> str:
    return utc.strftime("%Y-%m-%d %H:%M:%S UTC")


def _text(values: Mapping[str, object], key: str) -> str | None:
    value = values.get(key)
    return value if isinstance(value, str) else None
