"""Text attributes as they stand in OTLP bytes, to search for them without decoding."""

from __future__ import annotations

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


def attribute(key: str, value: str) -> bytes:
    """A whole attribute."""
    pair: bytes = KeyValue(key=key, value=AnyValue(string_value=value)).SerializeToString()
    return pair


def attribute_beginning(key: str, start: str, chars: int) -> bytes:
    """The beginning of an attribute whose value begins with `start`, has `chars` characters and is ASCII."""
    whole = attribute(key, start.ljust(chars))
    return whole[: len(whole) - (chars - len(start))]
