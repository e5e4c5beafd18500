"""The tag a detached head stands on, found without the git program."""

from __future__ import annotations

import os
import re
from pathlib import Path

from otel_session.build_stamp._build import encodable
from otel_session.build_stamp._objects import peeled
from otel_session.build_stamp._repository import Repository, loose_hash, packed_refs

_MAX_FILES = 1000
_PREFIX = b"refs/tags/"


def tag_at(repository: Repository, revision: str) -> str | None:
    """Name of a tag on a commit; of several the highest in natural order (`v1.10` above `v1.9`).

    Args:
        repository: Where the tags are.
        revision: The full commit hash; nothing is found for a shortened one.

    An annotated tag is only seen through `packed-refs` or through a loose tag object; at most 1,000 loose tags are
    looked at.
    """
    if len(revision) not in (40, 64):
        return None
    loose = _loose_tags(repository)
    names = {name for name, target in loose.items() if peeled(repository.common_dir, target) == revision}
    names |= {name for name in _packed_tags(repository, revision) if name not in loose}
    return max(map(encodable, names), key=_natural, default=None)


def _packed_tags(repository: Repository, revision: str) -> set[str]:
    lines = packed_refs(repository)
    wanted = revision.encode("ascii")
    names: set[str] = set()
    at = lines.find(wanted)
    while at >= 0:
        # Behind a ^ is the commit of the annotated tag in the line above.
        start = lines.rfind(b"\n", 0, max(at - 2, 0)) + 1 if lines[at - 1 : at] == b"^" else at
        _, _, name = lines[start : lines.find(b"\n", start)].partition(b" ")
        if name.startswith(_PREFIX):
            names.add(name[len(_PREFIX) :].decode("utf-8", "surrogateescape"))
        at = lines.find(wanted, at + len(wanted))
    return names


def _loose_tags(repository: Repository) -> dict[str, str]:
    top = repository.common_dir / "refs" / "tags"
    tags: dict[str, str] = {}
    left = _MAX_FILES
    for folder, _, files in os.walk(top):
        for file in files[:left]:
            path = Path(folder, file)
            if target := loose_hash(path):
                tags[path.relative_to(top).as_posix()] = target
        left -= len(files)
        if left <= 0:
            break
    return tags


def _natural(name: str) -> list[str | int]:
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"([0-9]+)", name))]
