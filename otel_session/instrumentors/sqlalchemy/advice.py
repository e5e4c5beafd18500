"""What a read without an ORM session was about, and what to change so that it does not happen."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy.orm import RelationshipProperty

from otel_session.instrumentors.sqlalchemy.orm_session_ends import CLOSED, COLLECTED, EXPUNGED, OPEN
from otel_session.instrumentors.sqlalchemy.places import Place

EXPIRED, LAZY, DEFERRED, DYNAMIC, OTHER = "expired", "lazy_relationship", "deferred", "dynamic", "other"
RAISED, RECOVERED, DELETED, EMPTY = "raised", "recovered", "deleted", "empty"

_ENDED = {
    CLOSED: "after its ORM session was closed",
    EXPUNGED: "after it was expunged from its ORM session, or unpickled",
    COLLECTED: "after its ORM session was garbage-collected",
    OPEN: "in async code, without being awaited",
}
_GOT = {
    RAISED: "",
    RECOVERED: " It was loaded by an ORM session of its own.",
    DELETED: " Its row has been deleted.",
    EMPTY: " SQLAlchemy answers as if there were no rows, whatever the database holds.",
}
_WHY_NOT = {
    "budget": " It was not recovered: this trace has recovered as many as it may.",
    "async": " It was not recovered: that would need an await, and an attribute cannot be awaited here.",
    "conflict": " It was not recovered: the recovering ORM session holds another copy of this row.",
    "provider": " It was not recovered: the provider gave no ORM session.",
    "failed": " It was not recovered: loading it failed.",
}


class Read(NamedTuple):
    """One attribute read that had no ORM session to load it.

    Attributes:
        model: Name of the object's class; `?` when unknown, and so is the attribute.
        kind: `expired`, `lazy_relationship`, `deferred`, `dynamic` or `other`.
        end: How the object lost its ORM session.
        ended_at: Where that was.
        suggestion: What to change.
    """

    model: str
    attribute: str
    kind: str
    end: str
    ended_at: Place | None
    suggestion: str

    def explanation(self, outcome: str, reason: str | None) -> str:
        """All of it in one line of prose."""
        if self.kind == OTHER:
            return f"An object was read without an ORM session. {self.suggestion}"
        at = f" at {self.ended_at}" if self.ended_at is not None else ""
        why_not = _WHY_NOT.get(reason, "") if reason else ""
        return (
            f"{self.model}.{self.attribute} ({self.kind.replace('_', ' ')}) was read {_ENDED[self.end]}{at}."
            f"{_GOT[outcome]}{why_not} {self.suggestion}"
        )


def kind_of(impl: Any, state: Any, key: str) -> str:
    """Why an attribute has to be loaded."""
    if isinstance(state.mapper.attrs[key], RelationshipProperty):
        return LAZY
    return EXPIRED if impl.load_on_unexpire and key in state.expired_attributes else DEFERRED


def suggestion(kind: str, end: str, state: Any, key: str) -> str:
    """What to change, with the names of the application's own models."""
    mapper = state.mapper
    of = f"{mapper.class_.__name__}.{key}"
    if end == OPEN:
        eager = {LAZY: f"selectinload({of})", DEFERRED: f"undefer({of})"}.get(kind)
        load = f".options({eager})" if eager else "expire_on_commit=False"
        return f"Use {load}, or await the loading: `await orm_session.refresh(obj, ['{key}'])`."
    keep = " Keep a reference to the ORM session." if end == COLLECTED else ""
    if kind == LAZY:
        return f"Load it with the query, .options(selectinload({of})), or read it while the ORM session is open.{keep}"
    if kind == DEFERRED:
        return f"Load it with the query, .options(undefer({of})), or read it while the ORM session is open.{keep}"
    if kind == DYNAMIC:
        return f"Read it while the ORM session is open: {of} is lazy='dynamic' and asks the database each time.{keep}"
    return _of_expired(mapper, state, key) + keep


def _of_expired(mapper: Any, state: Any, key: str) -> str:
    committed = mapper.get_property_by_column(mapper.primary_key[0]).key not in state.dict
    if committed:  # commit expires all, the primary key too
        return "Make the ORM session with expire_on_commit=False, or read it before the commit."
    columns = mapper.attrs[key].columns
    if mapper.inherits is not None and columns[0].table not in mapper.base_mapper.tables:
        base, own = mapper.base_mapper.class_.__name__, mapper.class_.__name__
        return f"Load it with the query, .options(selectin_polymorphic({base}, [{own}]))."
    return (
        f"Load it before the ORM session ends: orm_session.refresh(obj, ['{key}']); "
        "for a column that the database fills, map the class with eager_defaults=True."
    )
