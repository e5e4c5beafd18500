"""Parts of an entry's span that every server of ours gives it: who is here, and what was done in databases for it."""

from __future__ import annotations

from typing import Any

from otel_session import attributes as names
from otel_session.context import Identity, Work

from .entries import Part
from .identities import encode_as_it_was
from .key_values import encode_attributes


class IdsPart(Part):
    """The ids that an identity has now; their bytes are those of all else that happens under it."""

    __slots__ = ("_identity",)

    def __init__(self, identity: Identity) -> None:
        self._identity, self.attributes, self.encoded = identity, identity.attributes, None

    def encode(self) -> bytes:
        """Make the bytes."""
        return encode_as_it_was(self._identity, self.attributes)


def identity_parts(identity: Identity) -> tuple[Part, ...]:
    """The ids, and what is said of the session once for each request."""
    parts: tuple[Part, ...] = (IdsPart(identity),)
    if identity.confirmed and identity.session_id is not None:
        parts += (_CONFIRMED,)
    if identity.previous_id is not None:
        parts += (Part({names.SESSION_PREVIOUS_ID: identity.previous_id}),)
    return parts


def work_attributes(work: Work) -> dict[str, Any]:
    """What a request did in databases; nothing when it did nothing."""
    if not work.statements and not work.orm_sessions:
        return {}
    return {
        names.REQUEST_ORM_SESSIONS: work.orm_sessions,
        names.REQUEST_STATEMENTS: work.statements,
        names.REQUEST_COMMITS: work.commits,
        names.REQUEST_ROLLBACKS: work.rollbacks,
        names.REQUEST_RECOVERIES: work.recoveries,
        names.REQUEST_DB_TIME: work.driver_ns / 1e9,
    }


def shared_part(attributes: dict[str, Any]) -> Part:
    """Attributes that many requests have."""
    return Part(attributes, encode_attributes(attributes))


_CONFIRMED = shared_part({names.SESSION_CONFIRMED: True})
