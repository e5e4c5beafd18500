"""What one source says about the build, and how the words of several sources come together."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import NamedTuple

from otel_session._patterns import lazily

SHORT_LENGTH = 7
"""Characters of a commit hash that people are shown."""

_MAX_NAME_LENGTH = 256
_HASH = lazily(r"[0-9a-f]{7,64}")
_REVISION = lazily(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,63}")
_PLACEHOLDERS = frozenset({"", "head", "unknown", "none", "null", "undefined", "detached", "dev", "development"})
_FRACTION = lazily(r"(?<=:\d\d)[.,]([0-9]+)")
_ZONE_WITHOUT_COLON = lazily(r"(?<=\d)([+-][0-9]{2})([0-9]{2})$")
_SURROGATE = lazily("[\ud800-\udfff]")
_REF_KINDS = (("refs/heads/", "branch"), ("refs/tags/", "tag"), ("refs/remotes/origin/", "branch"))


class Build(NamedTuple):
    """What one source says; None where it says nothing.

    Attributes:
        revision: Commit hash, full when known (40 or 64 hexadecimal digits).
        name: Name of the branch or tag.
        ref_type: `branch` or `tag`.
        date: When it was built: RFC 3339, UTC.
        dirty: Whether tracked files differed from the commit.
        repository: Web address without credentials and without `.git`.
        version: The service's version.
    """

    revision: str | None = None
    name: str | None = None
    ref_type: str | None = None
    date: str | None = None
    dirty: bool | None = None
    repository: str | None = None
    version: str | None = None

    def filled_by(self, other: Build) -> Build:
        """The same build, its gaps filled from a source of lower rank.

        A source that names another commit, or none when ours is known, may describe another build: it adds nothing.
        """
        if self.revision is None:
            revision = other.revision
        elif same_commit(self.revision, other.revision):
            revision = max(self.revision, other.revision or "", key=len)
        else:
            return self
        name, ref_type = self.name, self.ref_type
        if name is None:
            name, ref_type = other.name, other.ref_type
        elif ref_type is None and name == other.name:
            ref_type = other.ref_type
        return self._replace(
            revision=revision,
            name=name,
            ref_type=ref_type,
            date=self.date or other.date,
            dirty=other.dirty if self.dirty is None else self.dirty,
            repository=self.repository or other.repository,
            version=self.version or other.version,
        )


def same_commit(one: str | None, other: str | None) -> bool:
    """Whether two hashes, full or shortened to at least seven digits, name one commit."""
    if not one or not other:
        return False
    shorter, longer = sorted((one.lower(), other.lower()), key=len)
    return shorter == longer or (len(shorter) >= SHORT_LENGTH and longer.startswith(shorter))


def commit_hash(text: str | None) -> str | None:
    """A git commit hash of 7 to 64 hexadecimal digits, or None."""
    word = (text or "").strip().lower()
    return word if _HASH.fullmatch(word) else None


def revision_word(text: str | None) -> str | None:
    """A revision as people write it: a commit hash or another system's word such as `r1234`; or None."""
    word = (text or "").strip()
    if word.lower() in _PLACEHOLDERS or not _REVISION.fullmatch(word):
        return None
    return word.lower() if _HASH.fullmatch(word.lower()) else word


def ref(text: str | None, kind: str | None = "branch") -> tuple[str | None, str | None]:
    """Name and kind of a reference.

    Args:
        text: A short name (`main`) or a full one (`refs/heads/main`).
        kind: What a short name is: `branch`, `tag`, or None when that is not known.

    Returns:
        The short name and its kind, or two Nones when it is a placeholder (`HEAD`, `unknown`), holds spaces or
        control characters, or is longer than 256 characters.
    """
    name = (text or "").strip()
    for prefix, prefixed_kind in _REF_KINDS:
        if name.startswith(prefix):
            name, kind = name[len(prefix) :], prefixed_kind
    if name.lower() in _PLACEHOLDERS - {"dev", "development"} or len(name) > _MAX_NAME_LENGTH:
        return None, None
    if not name.isprintable() or " " in name:
        return None, None
    return name, kind


def encodable(name: str) -> str:
    """Text out of files or variables that can be exported: each undecodable byte becomes U+FFFD."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", name)


def moment(text: str | None) -> datetime | None:
    """A moment in UTC from RFC 3339 or `2025-12-16 07:26:50 UTC`, or None; one without a zone counts as UTC."""
    words = (text or "").strip()[:64]
    if words.endswith((" UTC", "Z", "z")):
        words = words.removesuffix(" UTC").rstrip("Zz") + "+00:00"
    # Python 3.10 reads fractions of three and six digits and zones with a colon only.
    words = _FRACTION.sub(lambda match: f".{match[1][:6]:0<6}", words, count=1)
    words = _ZONE_WITHOUT_COLON.sub(r"\1:\2", words)
    try:
        parsed = datetime.fromisoformat(words)
        zoned = parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)
        return zoned.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def flag(text: str | None) -> bool | None:
    """`true`, `1`, `yes`, `on` and their opposites, or None."""
    word = (text or "").strip().lower()
    if word in {"true", "1", "yes", "on"}:
        return True
    return False if word in {"false", "0", "no", "off"} else None
