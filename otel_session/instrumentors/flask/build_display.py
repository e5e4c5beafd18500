"""The build in an application's templates: one call at set-up (feature A4)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flask import Flask

from otel_session.build_stamp import build_info, build_line


def init_build_line(app: Flask) -> None:
    """Let every template of an application say which build is running.

        <footer>{{ build_line() }}</footer>

    shows `Build: 512fbfe (main) - 2025-12-16 07:26:50 UTC`, or `Development` without a stamp; `build_info()` has its
    parts. The stamp is read when the first template asks, and kept. Works without `instrument()`, and a stamp that
    cannot be read breaks nothing. A macro sees both when it is imported `with context`.

    Args:
        app: The application, while it is being set up.
    """

    @lru_cache(1)
    def line() -> str:
        return build_line()

    @lru_cache(1)
    def info() -> dict[str, Any]:
        return build_info()

    # No template global: that would make the Jinja environment before the application has set it up.
    app.context_processor(lambda: {"build_line": line, "build_info": info})
