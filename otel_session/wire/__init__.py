"""Telemetry as OTLP bytes: what has ended is encoded once, and nothing else of it stays alive.

`encode_span`, `encode_log_record` and `encode_metrics` give messages, `origin_of` the resource and scope they belong
to, `frame_request` puts many of them into the request that an exporter sends or a store splits. `pre_encode` encodes
attributes that many spans share.

Decoded, everything equals what `opentelemetry-exporter-otlp-proto-common` makes of it. Nothing here raises for an odd
value of the application's, does I/O, or waits for a lock.
"""

from .frames import frame_request
from .key_values import IN_LOG_RECORD, IN_SPAN, encode_attributes, pre_encode
from .logs import encode_log_record
from .metrics import EncodedMetric, encode_metrics
from .origins import Origin, encode_resource, encode_scope, origin_of
from .spans import encode_span
from .values import encode_any

__all__ = [
    "IN_LOG_RECORD",
    "IN_SPAN",
    "EncodedMetric",
    "Origin",
    "encode_any",
    "encode_attributes",
    "encode_log_record",
    "encode_metrics",
    "encode_resource",
    "encode_scope",
    "encode_span",
    "frame_request",
    "origin_of",
    "pre_encode",
]
