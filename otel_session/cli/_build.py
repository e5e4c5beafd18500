"""Which build of which service sent something, read from its resource attributes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

from otel_session import attributes as names
from otel_session.store.decode import decode_resource
from otel_session.store.views import Attributes, text

_SHORT_COMMIT_CHARS = 7
_NO_STAMP = "no build stamp"


@dataclass(frozen=True, slots=True)
class Build:
    """A service and the build of it. Texts are `""` where the sender did not say; `dirty` is then None."""

    service: str
    version: str
    revision: str
    branch: str
    date: str
    dirty: bool | None

    @property
    def commit(self) -> str:
        """The revision's first 7 characters."""
        return self.revision[:_SHORT_COMMIT_CHARS]

    @property
    def short(self) -> str:
        """`512fbfe main`, or `no build stamp`."""
        return f"{self.commit} {self.branch}".strip() or _NO_STAMP

    @property
    def long(self) -> str:
        """`512fbfe (main) 2025-12-16 07:26:50 UTC, uncommitted changes`, or `no build stamp`."""
        words = [self.commit, f"({self.branch})" if self.branch else "", _for_people(self.date)]
        said = " ".join(word for word in words if word) or _NO_STAMP
        return f"{said}, uncommitted changes" if self.dirty else said

    def as_json(self) -> dict[str, str | bool | None]:
        """The build for `--json`; what the sender did not say is null."""
        return {
            "service": self.service or None,
            "service_version": self.version or None,
            "commit": self.commit or None,
            "revision": self.revision or None,
            "branch": self.branch or None,
            "date": self.date or None,
            "dirty": self.dirty,
        }


def _for_people(date: str) -> str:
    """`2026-11-21 01:32:42 UTC` for any ISO 8601 date with a time zone; other texts stay as they are."""
    try:
        moment = datetime.fromisoformat(date.replace("Z", "+00:00"))
    except ValueError:
        return date
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S UTC}" if moment.tzinfo else date


def build_of(resource: Attributes) -> Build:
    """The build that a resource's attributes name."""
    dirty = resource.get(names.BUILD_DIRTY)
    return Build(
        text(resource, names.SERVICE_NAME),
        text(resource, names.SERVICE_VERSION),
        text(resource, names.VCS_REF_HEAD_REVISION),
        text(resource, names.VCS_REF_HEAD_NAME),
        text(resource, names.BUILD_DATE),
        dirty if isinstance(dirty, bool) else None,
    )


def builds_of(resources: Iterable[bytes]) -> list[Build]:
    """The distinct builds of OTLP resources, in their order: workers and restarts of one build count once."""
    return list(dict.fromkeys(build_of(decode_resource(body)) for body in resources))


def services_of(builds: Iterable[Build]) -> list[str]:
    """The distinct service names, in order."""
    return list(dict.fromkeys(build.service for build in builds if build.service))
