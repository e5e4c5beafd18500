"""Why a script ran: from what was asked for, which widgets changed, and what came before."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

FIRST_LOAD, WIDGET, FRAGMENT, TIMER, RERUN, PAGE, REQUEST = (
    "first_load",
    "widget",
    "fragment",
    "timer",
    "rerun",
    "page",
    "request",
)
MOST_WIDGETS = 10
OVERTAKEN = "_otel_session_overtaken"
"""A mark on a `ScriptRunner`."""
_MAX_KEY_CHARS = 128
_HASH_CHARS = 8


class Asked:
    """What a chain of runs was asked for.

    Attributes:
        data: Streamlit's `RerunData` of the run that comes next, None when it is not known.
        by_script: Whether the run before asked for it: `st.rerun()`, `st.switch_page()`.
    """

    __slots__ = ("_runner", "by_script", "data")

    def __init__(self, data: Any, runner: Any = None) -> None:
        self.data = data
        self.by_script = False
        self._runner = runner

    @property
    def overtaken(self) -> bool:
        """Whether the browser has asked for another run, which has a `ScriptRunner` of its own; this one must stop."""
        return getattr(self._runner, OVERTAKEN, False)

    def follow(self, data: Any) -> None:
        """Note what interrupted a run. A browser's request brings its widgets' states, the script's own does not."""
        self.data = data
        self.by_script = data is not None and getattr(data, "widget_states", None) is None


asked: ContextVar[Asked | None] = ContextVar("otel_session_streamlit_asked", default=None)
"""What is to be run next on this thread."""


def fragments_of(data: Any) -> int:
    """How many fragments are to run instead of the whole script; 0 for the whole script."""
    return len(getattr(data, "fragment_id_queue", None) or ())


def is_of_timer(data: Any) -> bool:
    """Whether nobody but a fragment's timer asked for a run.

    A user's click and a timer that wait together become one run of the whole script, told as the timer's.
    """
    return getattr(data, "is_auto_rerun", False) and fragments_of(data) > 0


def cause_of(data: Any, *, first: bool, by_script: bool, widgets: bool, other_page: bool) -> str:
    """The cause of one run.

    Args:
        data: Streamlit's `RerunData`.
        first: Whether it is the page's first.
        by_script: Whether the script asked for it.
        widgets: Whether a widget had changed.
        other_page: Whether another page of the application was shown before.
    """
    if first:
        return FIRST_LOAD
    if other_page:
        return PAGE
    if by_script:
        return RERUN
    if is_of_timer(data):
        return TIMER
    if fragments_of(data):
        return FRAGMENT
    return WIDGET if widgets else REQUEST


def widget_key(widget_id: str) -> str:
    """A widget's key as the application gave it; `#` and the beginning of its hash without one.

    Streamlit's ids are `$$ID-HASH-KEY`, with `None` for no key.
    """
    _, _, rest = widget_id.partition("-")
    hashed, _, key = rest.partition("-")
    if key and key != "None":
        return key[:_MAX_KEY_CHARS]
    return f"#{hashed[:_HASH_CHARS]}"
