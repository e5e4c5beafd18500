"""What a page is called: the path a browser shows, `/` for the application's first page."""

from __future__ import annotations

from typing import Any

_MOST = 1_000
_MAX_CHARS = 256


class PageNames:
    """Page hash -> path; remembers those it has seen."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, ctx: Any, page_hash: str) -> str | None:
        """The path of a page, None while the application has not said which pages it has."""
        found = self._known.get(page_hash)
        if found is None:
            found = _look_up(ctx.pages_manager, page_hash)
            if found is not None and len(self._known) < _MOST:
                self._known[page_hash] = found
        return found


def _look_up(pages: Any, page_hash: str) -> str | None:
    page = pages.get_pages().get(page_hash)
    if page is None:
        return None
    return f"/{page.get('url_pathname') or ''}"[:_MAX_CHARS]
