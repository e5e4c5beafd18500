"""Encoded batches out by the official OTLP exporters' own transports, HTTP and gRPC.

Endpoints, headers, certificates, compression and time-outs are the official exporter's, as the standard variables say.
Its transport has no public name: it is reached for in `otlp*.py` only, and where it is not as expected there is no
consumer and the stock pipeline does the work.
"""

from __future__ import annotations

from typing import Any

from otel_session.wire.batches import Consumer


def consumer_for(exporter: Any, what: str) -> Consumer | None:
    """A consumer that sends by an official exporter's transport; None when the exporter is of another kind.

    Args:
        exporter: As the SDK made it.
        what: `spans`, `log records` or `data points`.
    """
    module = type(exporter).__module__
    if getattr(exporter, "_max_export_batch_size", None):  # a collection is one request here
        return None
    if module.startswith("opentelemetry.exporter.otlp.proto.http"):
        from otel_session.exporters.otlp_http import HttpConsumer

        return HttpConsumer(exporter, what) if HttpConsumer.fits(exporter) else None
    if module.startswith("opentelemetry.exporter.otlp.proto.grpc"):
        from otel_session.exporters.otlp_grpc import GrpcConsumer

        return GrpcConsumer(exporter, what) if GrpcConsumer.fits(exporter) else None
    return None
