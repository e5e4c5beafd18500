"""A generator's own runs, between which nothing of its operation is current."""

from __future__ import annotations

from typing import Any

from otel_session import context as here
from otel_session.operations._operation import Operation


class Turn:
    """One run of an operation's own code, between two suspensions of a generator: the operation is current in it.

    What the code makes current and leaves so is current again in its next run, and for nobody else.
    """

    def __init__(self, operation: Operation) -> None:
        self._context = operation.context
        self._token: Any = None

    def __enter__(self) -> None:
        self._token = here.attach(self._context)

    def __exit__(self, *_: object) -> None:
        self._context = here.get_current()
        try:
            here.detach(self._token)
        except ValueError:  # collected elsewhere than it ran
            pass
