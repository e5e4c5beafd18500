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
# Protocol -> the exporter's entry point, its module, and the extra of ours that brings it.
_TRANSPORTS = {
    "http/protobuf": ("otlp_proto_http", "opentelemetry.exporter.otlp.proto.http", "otlp"),
    "grpc": ("otlp_proto_grpc", "opentelemetry.exporter.otlp.proto.grpc", "otlp-grpc"),
}


def exporters(settings: Config) -> dict[str, list[str]]:
    """The exporters of each signal, as keyword arguments of the SDK's configurator.

    An OTLP exporter that is wanted and not there is said in one line, and the local store takes its place.
    """
    # The SDK takes gRPC when nothing is said; the specification and our extra say HTTP.
    installed = [protocol for protocol in _TRANSPORTS if _installed(protocol)]
    protocol = _said(_PROTOCOL) or next(iter(installed), "http/protobuf")
    chosen: dict[str, list[str]] = {}
    missing: list[str] = []
    for signal, word in _SIGNALS.items():
        resolved = []
        for name in _named(word):
            found = _otlp(_said(f"OTEL_EXPORTER_OTLP_{word}_PROTOCOL") or protocol) if name == "otlp" else name
            resolved.append(LOCAL if found is None else found)
            if found is None:
                missing.append(word)
        chosen[f"{signal}_exporter_names"] = list(dict.fromkeys(resolved))
    if missing:
        _tell(missing[0], _said(f"OTEL_EXPORTER_OTLP_{missing[0]}_PROTOCOL") or protocol, settings)
    return chosen


def silenced() -> dict[str, str]:
    """Variables that keep the SDK's configurator from adding exporters of its own to those chosen here."""
    return {f"OTEL_{word}_EXPORTER": "none" for word in _SIGNALS.values()}


def _named(word: str) -> list[str]:
    said = _said(f"OTEL_{word}_EXPORTER")
    if said:
        names = [name.strip() for name in said.split(",")]
        return [] if [n.lower() for n in names] == ["none"] else names
    return ["otlp" if _endpoint(word) else LOCAL]


def _said(variable: str) -> str:
    return config.environment().get(variable, "").strip()


def _endpoint(word: str) -> str:
    return _said(f"OTEL_EXPORTER_OTLP_{word}_ENDPOINT") or _said("OTEL_EXPORTER_OTLP_ENDPOINT")


def _otlp(protocol: str) -> str | None:
    return _TRANSPORTS[protocol][0] if protocol in _TRANSPORTS and _installed(protocol) else None


def _installed(protocol: str) -> bool:
    try:
        return find_spec(_TRANSPORTS[protocol][1]) is not None
    except ModuleNotFoundError:
        return False


def _tell(word: str, protocol: str, settings: Config) -> None:
    endpoint = _endpoint(word)
    wanted = f"The OTLP endpoint is {endpoint!r}" if endpoint else f"OTEL_{word}_EXPORTER names otlp"
    if protocol in _TRANSPORTS:
        extra = _TRANSPORTS[protocol][2]
        problem = f"no OTLP exporter for {protocol} is installed. Install it with: pip install 'otel-session[{extra}]'."
    else:
        problem = f"{_PROTOCOL} is {protocol!r}; expected http/protobuf or grpc."
    _log.error("%s, and %s Until then telemetry is kept in %s.", wanted, problem, settings.store_path)
