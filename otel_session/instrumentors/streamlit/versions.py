"""Which Streamlit this works on, and what is said to an older one."""

from __future__ import annotations

import logging
import re
from importlib.metadata import PackageNotFoundError, version

_log = logging.getLogger("otel_session")
_LEAST = (1, 57)
_told: set[str] = set()


def is_supported() -> bool:
    """Whether the Streamlit that is installed is new enough; an older one is told of in one log line."""
    try:
        found = version("streamlit")
    except PackageNotFoundError:  # built from source, without metadata
        return True
    match = re.match(r"(\d+)\.(\d+)", found)
    if match is None or (int(match[1]), int(match[2])) >= _LEAST:
        return True
    if found not in _told:
        _told.add(found)
        _log.warning(
            "Streamlit %s is older than 1.57: its reruns are not recorded, everything else is. "
            "Install a newer one with: pip install 'otel-session[streamlit]'",
            found,
        )
    return False
