"""Requests: many encoded spans, log records or metrics to the one message an OTLP exporter sends.

`ExportTraceServiceRequest`, `ExportLogsServiceRequest` and `ExportMetricsServiceRequest` have the same field numbers
at each level, so the one function frames all three.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from ._repair import to_utf8
from .origins import Origin
from .varint import delimit, encode_varint


def frame_request(items: Iterable[tuple[Origin, Iterable[bytes]]]) -> bytes:
    """Frame messages of one signal as its export request.

    What has the same resource goes under one resource, what has the same scope in it under one scope, in the order
    in which they first appear.

    Args:
        items: Origins, each with messages as `encode_span`, `encode_log_record` or `encode_metrics` gave them. An
            origin may come more than once.

    Returns:
        The bytes of the request; `b""`, which is an empty request, for no items.
    """
    resources: dict[tuple[bytes, str], dict[tuple[bytes, str], list[bytes]]] = {}
    for (resource, resource_url, scope, scope_url), messages in items:
        scopes = resources.setdefault((resource, resource_url), {})
        scopes.setdefault((scope, scope_url), []).extend(messages)
    pieces: list[bytes] = []
    for resource_key, scopes in resources.items():
        size, framed = _frame_resource(*resource_key, scopes)
        pieces += (b"\n", encode_varint(size), *framed)
    return b"".join(pieces)


# Pieces with their size together, joined once: a request of a megabyte would be copied at each level.
_Framed: TypeAlias = tuple[int, list[bytes]]


def _frame_resource(resource: bytes, url: str, scopes: dict[tuple[bytes, str], list[bytes]]) -> _Framed:
    pieces = [b"\n", delimit(resource)]
    schema = _frame_url(url)
    size = 1 + len(pieces[1]) + len(schema)
    for scope, messages in scopes.items():
        inner_size, inner = _frame_scope(*scope, messages)
        length = encode_varint(inner_size)
        pieces += (b"\x12", length, *inner)
        size += 1 + len(length) + inner_size
    pieces.append(schema)
    return size, pieces


def _frame_scope(scope: bytes, url: str, messages: list[bytes]) -> _Framed:
    pieces = [b"\n", delimit(scope)]
    for message in messages:
        size = len(message)
        pieces += (_heads.get(size) or _head(size), message)
    pieces.append(_frame_url(url))
    return sum(map(len, pieces)), pieces


_heads: dict[int, bytes] = {}
_HEADS_MOST = 4_096


def _head(size: int) -> bytes:
    """A message's tag and length; most messages have the length of many others."""
    head = b"\x12" + encode_varint(size)
    if len(_heads) < _HEADS_MOST:
        _heads[size] = head
    return head


def _frame_url(url: str) -> bytes:
    return b"\x1a" + delimit(to_utf8(url)) if url else b""
