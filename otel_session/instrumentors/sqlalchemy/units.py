"""A unit of work: what an ORM session does from its first connection to commit, rollback or close (features E1, F2).

It belongs to the root transaction of its ORM session, and is found from the connections it uses: nothing is made
current between begin and commit, which may be in different functions, threads and contexts.
"""

from __future__ import annotations

from time import time_ns
from typing import Any
from weakref import ref

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext

from otel_session import context as here

KEY = "_otel_session_unit"
"""The attribute in which root transactions, connections and pool records keep their unit of work.

Set and read as an attribute: to look into `__dict__` costs an object its fast attributes (Python 3.11 and newer)."""

COMMIT, ROLLBACK, CLOSE, LEAKED = "commit", "rollback", "close", "leaked"
_MAX_LINKS = 32


class Unit:
    """One unit of work on its way.

    Attributes:
        context: Where it began.
        ambient: The span that was current there, None for none. Statements issued under that very span are children of
            the unit's; under any other they stay children of that one.
        span: The unit's own span; None where it is written as a leaf when it ends, or is not sampled.
        known: The span context of its own span, which a leaf has before it is written; None when it is not sampled.
        start_ns: Nanoseconds since the epoch.
        statements: How many it sent.
        busy_ns: How long the driver took for them, for COMMIT and ROLLBACK, and how long the first connection took.
        savepoints: How many it opened.
        flushed: Objects inserted, updated and deleted.
        commits: COMMITs that its connections sent; `rollbacks` likewise.
        committed: Whether it was committed as a whole; `rolled_back` likewise.
        undone: Whether a COMMIT was answered with ROLLBACK.
        failed_at: How many statements had been sent when one last failed in the server.
        joined: Whether a connection of somebody else's is used: then the end of the unit is not the transaction's.
        error: `error.type` of what went wrong last, if it did not go on as if nothing had happened.
        reason: What made it roll back, the type of an exception.
        ending: Whether a COMMIT or ROLLBACK is being sent.
        owners: The connections and pool's records that it is found from.
        endings: COMMITs and ROLLBACKs: what was started, when it ended, what went wrong.
        opened_at: Where the application's code began it, if that was asked for.
    """

    # A default of the class would be looked for, each time it is read, in the class and its bases.
    __slots__ = (
        "ambient",
        "busy_ns",
        "commits",
        "committed",
        "context",
        "ending",
        "endings",
        "error",
        "failed_at",
        "flushed",
        "joined",
        "known",
        "links",
        "opened_at",
        "owners",
        "reason",
        "rollbacks",
        "rolled_back",
        "savepoints",
        "span",
        "start_ns",
        "statements",
        "undone",
    )

    def __init__(self, context: Context, ambient: Any) -> None:
        self.context = context
        self.ambient = ambient
        self.span: Span | None = None
        self.known: SpanContext | None = None
        self.statements = self.busy_ns = self.savepoints = self.commits = self.rollbacks = self.failed_at = 0
        self.flushed = (0, 0, 0)
        self.committed = self.rolled_back = self.undone = self.joined = self.ending = False
        self.error: str | None = None
        self.reason: str | None = None
        self.opened_at: Any = None
        self.links: tuple[Link, ...] = ()
        self.endings: tuple[tuple[Any, int, BaseException | None], ...] = ()
        self.owners: tuple[Any, ...] = ()
        self.start_ns = time_ns()

    def begins_orm_session(self) -> None:
        """It is its ORM session's first: count that for the request."""
        identity = here.current(self.context)
        if identity is not None and identity.work is not None:
            identity.work.orm_sessions += 1

    def still_found(self) -> int:
        """From how many pools' records it is found: those whose transaction is still open."""
        return sum(1 for owner in self.owners if type(owner) is not ref and unit_of(owner) is self)

    def let_go(self) -> None:
        """Be found no more."""
        for owner in self.owners:
            if type(owner) is ref:
                owner = owner()
            if getattr(owner, KEY, None) is self:
                try:
                    delattr(owner, KEY)
                except AttributeError:  # another thread has
                    pass
        self.owners = ()

    def used_under(self, span: Any) -> None:
        """Link to a span of another trace under which it is used: a later request's, mostly."""
        if span is None or self.known is None or len(self.links) >= _MAX_LINKS:
            return
        other = span.get_span_context()
        if not other.is_valid or other.trace_id == self.known.trace_id:
            return
        if all(link.context.span_id != other.span_id for link in self.links):
            self.links += (Link(other),)


def unit_of(owner: Any) -> Unit | None:
    """The unit of work of a connection, a root transaction or a pool's record."""
    found: Unit | None = getattr(owner, KEY, None)
    return found


def unmark(owner: Any) -> None:
    """Let a unit of work be found no more from here."""
    try:
        delattr(owner, KEY)
    except AttributeError:
        pass
