"""The remote's address out of a git configuration file (git-config(1), section 'CONFIGURATION FILE')."""

from __future__ import annotations

import re
from pathlib import Path

from otel_session._patterns import lazily
from otel_session.build_stamp._reading import read_or_none

_MAX_BYTES = 1 << 20
_MAX_VALUE_LENGTH = 4096
_SECTION = lazily(r'\[\s*([A-Za-z0-9.-]+)(?:\s+"((?:\\.|[^"\\])*)")?\s*\]')
_ENTRY = lazily(r"([A-Za-z][A-Za-z0-9-]*)\s*=\s*(.*)")
_PIECE = lazily(r'"((?:\\.|[^"\\])*)"|([#;].*)|(\\.|[^"#;\\])')


def remote_url(path: Path) -> str | None:
    """Address of the remote `origin` as it stands in the file, else of the only remote, else None.

    It may hold credentials: it must go through `repository_url` before it goes anywhere.
    """
    text = (read_or_none(path, _MAX_BYTES) or b"").decode("utf-8", "replace")
    urls: dict[str, str] = {}
    remote = None
    for raw in text.splitlines():
        line = raw.strip()
        if section := _SECTION.match(line):
            remote = _unescaped(section[2] or "") if section[1].lower() == "remote" else None
            line = line[section.end() :].strip()
        entry = _ENTRY.match(line)
        if remote and entry and entry[1].lower() == "url":
            urls.setdefault(remote, _value(entry[2][:_MAX_VALUE_LENGTH]))
    if "origin" in urls:
        return urls["origin"]
    return next(iter(urls.values())) if len(urls) == 1 else None


def _value(raw: str) -> str:
    """A value without its quotes and without a comment behind it."""
    return "".join(_unescaped(piece[1] or piece[3] or "") for piece in _PIECE.finditer(raw)).strip()


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
