"""Requests: many encoded spans, log records or metrics to the one message an OTLP exporter sends.

`ExportTraceServiceRequest`, `ExportLogsServiceRequest` and `ExportMetricsServiceRequest` have the same field numbers
at each level, so the one function frames all three.
"""

from __future__ import annotations

from collections.abc import Iterable

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
    return b"".join([b"\n" + delimit(_frame_resource(*resource, scopes)) for resource, scopes in resources.items()])


def _frame_resource(resource: bytes, url: str, scopes: dict[tuple[bytes, str], list[bytes]]) -> bytes:
    framed = [b"\n", delimit(resource)]
    for scope, messages in scopes.items():
        framed += (b"\x12", delimit(_frame_scope(*scope, messages)))
    return b"".join(framed) + _frame_url(url)


def _frame_scope(scope: bytes, url: str, messages: list[bytes]) -> bytes:
    framed = [b"\n", delimit(scope)]
    for message in messages:
        framed += (b"\x12", encode_varint(len(message)), message)
    return b"".join(framed) + _frame_url(url)


def _frame_url(url: str) -> bytes:
    return b"\x1a" + delimit(to_utf8(url)) if url else b""
