"""The end of the process: whether it has come, and how long it may be put off."""

from __future__ import annotations

_process_ends = False


def end_of_process() -> None:
    """From now on a flush is the last one: a far end that is to be left alone is asked once more, a bad one briefly."""
    global _process_ends
    _process_ends = True


def is_end_of_process() -> bool:
    """Whether that has been said."""
    return _process_ends


class Patience:
    """How long the end of the process may be put off in all, in seconds, whoever asks for it."""

    def __init__(self, total_s: float) -> None:
        self._left_s = total_s

    @property
    def left_s(self) -> float:
        """What is left of it."""
        return max(0.0, self._left_s)

    def spend(self, seconds: float) -> None:
        """Take some of it."""
        self._left_s -= seconds
