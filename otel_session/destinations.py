"""Where telemetry goes: what the standard variables say, else OTLP when an endpoint is set, else the local store."""

from __future__ import annotations

import logging
from importlib.util import find_spec

from otel_session import config
from otel_session.config import Config

_log = logging.getLogger("otel_session")

LOCAL = "otel_session_local"
_SIGNALS = {"trace": "TRACES", "metric": "METRICS", "log": "LOGS"}
_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
_TRANSPORTS = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc",
}


def exporters(settings: Config) -> dict[str, list[str]]:
    """The exporters that no variable names, as keyword arguments of the SDK's configurator.

    An OTLP endpoint without an OTLP exporter installed is said in one line, and the local store takes its place.
    """
    variables = config.environment()
    chosen: dict[str, list[str]] = {}
    otlp = _otlp_installed()
    for signal, word in _SIGNALS.items():
        if variables.get(f"OTEL_{word}_EXPORTER", "").strip():
            continue
        endpoint = variables.get(f"OTEL_EXPORTER_OTLP_{word}_ENDPOINT") or variables.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        if endpoint and otlp:
            chosen[f"{signal}_exporter_names"] = ["otlp"]
            continue
        if endpoint and signal == "trace":
            _log.error(
                "The OTLP endpoint is %r, and no OTLP exporter is installed. Install it with: "
                "pip install 'otel-session[otlp]'. Until then telemetry is kept in %s.",
                endpoint,
                settings.store_path,
            )
        chosen[f"{signal}_exporter_names"] = [LOCAL]
    # The SDK takes gRPC when nothing is said; the specification and our extra say HTTP.
    if otlp is not None:
        config.set_default(_PROTOCOL, otlp)
    return {name: [_spelled(n, otlp) for n in found] for name, found in chosen.items()}


def _spelled(name: str, protocol: str | None) -> str:
    # Names given to the configurator are entry points; only those in variables are translated by protocol.
    if name != "otlp":
        return name
    said = config.environment().get(_PROTOCOL, "").strip() or protocol
    return "otlp_proto_grpc" if said == "grpc" else "otlp_proto_http"


def _otlp_installed() -> str | None:
    for protocol, module in _TRANSPORTS.items():
        try:
            if find_spec(module) is not None:
                return protocol
        except ModuleNotFoundError:
            continue
    return None
