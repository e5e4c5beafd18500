"""What happened, counted once, as plain data: feeds OpenTelemetry metrics and, later, the monitor."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

_lock = threading.Lock()
_refused: Counter[str] = Counter()


def count_refused(source: str) -> None:
    """Count one inbound id that was ignored. `source` is a short fixed word such as `cookie` or `header`."""
    with _lock:
        _refused[source] += 1


def refused() -> Mapping[str, int]:
    """How many inbound ids were ignored since the process began, by source."""
    with _lock:
        return dict(_refused)
