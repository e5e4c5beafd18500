"""Loose git objects, read without the git program: enough to follow a tag and to date a commit."""

from __future__ import annotations

import re
import zlib
from datetime import datetime, timezone
from pathlib import Path

from otel_session._patterns import lazily
from otel_session.build_stamp._reading import read_or_none

_MAX_BYTES = 1 << 20
_MAX_CHAIN = 5
_TAG_TARGET = lazily(rb"object ([0-9a-f]{40,64})\n")
_COMMITTER = lazily(rb"^committer [^\n]*> (\d{1,11}) [+-]\d{4}$", re.MULTILINE)


def read_object(common_dir: Path, name: str) -> tuple[str, bytes] | None:
    """Kind and content of a loose object.

    Args:
        common_dir: The repository's shared git folder.
        name: Full hash, hexadecimal.

    Returns:
        `("commit", content)` with at most 1 MiB of content, or None when the object is packed, missing or broken.
    """
    packed = read_or_none(common_dir / "objects" / name[:2] / name[2:], _MAX_BYTES)
    if packed is None:
        return None
    try:
        content = zlib.decompressobj().decompress(packed, _MAX_BYTES)
    except zlib.error:
        return None
    header, found, body = content.partition(b"\0")
    kind = header.partition(b" ")[0].decode("ascii", "replace")
    return (kind, body) if found else None


def peeled(common_dir: Path, name: str) -> str:
    """The hash behind an annotated tag; the given one when it is no tag or cannot be read."""
    for _ in range(_MAX_CHAIN):
        found = read_object(common_dir, name)
        target = _TAG_TARGET.match(found[1]) if found and found[0] == "tag" else None
        if target is None:
            break
        name = target[1].decode("ascii")
    return name


def commit_time(common_dir: Path, revision: str) -> datetime | None:
    """When a commit was made, UTC; None when it is packed or broken."""
    found = read_object(common_dir, revision)
    if found is None or found[0] != "commit":
        return None
    match = _COMMITTER.search(found[1].partition(b"\n\n")[0])
    try:
        return datetime.fromtimestamp(int(match[1]), timezone.utc) if match else None
    except (OverflowError, ValueError, OSError):
        return None
