"""Who made it: `Resource` and `InstrumentationScope`, encoded once for as long as they are in use."""

from __future__ import annotations

from typing import NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from . import _repair
from .cache import GenerationCache
from .key_values import IN_RESOURCE, IN_SCOPE, encode_attributes
from .varint import delimit


class Origin(NamedTuple):
    """What spans, log records or metrics of one resource and scope share when they are sent.

    `resource` and `scope` are messages without tag or length. Two origins are equal when all four are, and then what
    they belong to is sent together.
    """

    resource: bytes
    resource_schema_url: str
    scope: bytes
    scope_schema_url: str


def _size_of(kept: tuple[Origin, Resource, InstrumentationScope | None]) -> int:
    return len(kept[0].resource) + len(kept[0].scope)


# By identity, because a resource's own hash is a JSON dump. An entry keeps its objects, so no id in it is used again.
_origins: GenerationCache[tuple[int, int], tuple[Origin, Resource, InstrumentationScope | None]] = GenerationCache(
    max_entries=512, max_bytes=2 << 20, measure=_size_of
)


def origin_of(resource: Resource, scope: InstrumentationScope | None) -> Origin:
    """Give resource and scope of a span, log record or metric as bytes: the same object as long as they are in use."""
    key = (id(resource), id(scope))
    kept = _origins.young.get(key) or _origins.get(key)
    if kept is None:
        url = _repair.to_text(resource.schema_url)
        scope_url = _repair.to_text(scope.schema_url) if scope else ""
        kept = (Origin(encode_resource(resource), url, encode_scope(scope), scope_url), resource, scope)
        _origins.put(key, kept)
    return kept[0]


def encode_resource(resource: Resource) -> bytes:
    """Encode a resource as a `Resource` message, without tag or length. Its schema URL belongs to what holds it."""
    return encode_attributes(resource.attributes, IN_RESOURCE)


def encode_scope(scope: InstrumentationScope | None) -> bytes:
    """Encode a scope as an `InstrumentationScope` message, without tag or length; None as the empty one."""
    if scope is None:
        return b""
    return b"".join(
        (
            b"\n",
            delimit(_repair.to_utf8(scope.name)),
            b"\x12",
            delimit(_repair.to_utf8(scope.version)),
            encode_attributes(scope.attributes, IN_SCOPE),
        )
    )
