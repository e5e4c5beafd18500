"""Where in the application's own code an exception was raised, read from its stack trace."""

from __future__ import annotations

import re

_FRAME = re.compile(r'File "([^"\n]{1,1000})", line (\d{1,9}), in ([^\n]{1,200})')
_OTHERS = re.compile(r"^<|/(site|dist)-packages/|/lib(64)?/python\d|/otel_session/", re.IGNORECASE)
_SHOWN_PARTS = 3
_MAX_CHARS = 262_144


def innermost_own(stacktrace: str) -> str:
    """`deals/views/reports.py:57 in broken`: the last frame outside of libraries; `""` when there is none."""
    for file, line, function in reversed(_FRAME.findall(stacktrace[-_MAX_CHARS:])):
        path = file.replace("\\", "/")
        if not _OTHERS.search(path):
            return f"{_short(path)}:{line} in {function.strip()}"
    return ""


def _short(path: str) -> str:
    """The end of a long path; a short one whole, with its slash, so that it can be opened."""
    parts = path.split("/")
    return path if len(parts) <= _SHOWN_PARTS + 1 else "/".join(parts[-_SHOWN_PARTS:])
