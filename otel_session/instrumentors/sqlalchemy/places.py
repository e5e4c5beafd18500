"""Where in the application's own code something happens."""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import NamedTuple

_PASSED_OVER = frozenset({"sqlalchemy", "otel_session", "opentelemetry", "contextlib", "jinja2"})
_MODULES_MOST = 1_000
_passed_over: set[str] = set()
"""Modules that were found to be a library's."""
_NOBODYS = "asyncio"
"""Under its frames stands who started the event loop, not who caused this."""


class Place(NamedTuple):
    """A line of code; of a Jinja template, the template's own line."""

    path: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} in {self.function}"


def own_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame from here outwards that is not a library's; None where it cannot be known."""
    known = _passed_over
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module not in known:
            top = module.partition(".")[0]
            if top == _NOBODYS:
                return None
            if top not in _PASSED_OVER:
                return frame
            if len(known) < _MODULES_MOST:
                known.add(module)
        frame = frame.f_back or _awaiting()
    return None


def _awaiting() -> FrameType | None:
    """Under asyncio, SQLAlchemy's sync part runs in a greenlet; this is where its parent waits for it."""
    greenlet = sys.modules.get("greenlet")
    parent = greenlet.getcurrent().parent if greenlet is not None else None
    found = parent.gr_frame if parent is not None else None
    return found if isinstance(found, FrameType) else None


def line_at(code: CodeType, instruction: int) -> int:
    """The line of an instruction, a frame's `f_lasti`; 0 where it has none."""
    for begin, end, line in code.co_lines():
        if begin <= instruction < end:
            return line or 0
    return 0


def place_of(frame: FrameType) -> Place:
    """The line that a frame is at."""
    code = frame.f_code
    template = frame.f_globals.get("__jinja_template__")
    if template is not None and template.filename:
        return Place(template.filename, template.get_corresponding_lineno(frame.f_lineno), template.name or "template")
    return Place(code.co_filename, frame.f_lineno, getattr(code, "co_qualname", code.co_name))


def current_place() -> Place | None:
    """Where the application's code is now."""
    frame = own_frame(sys._getframe(1))
    return place_of(frame) if frame is not None else None
