"""What to do when there is nothing to show."""

from __future__ import annotations

import shlex
from pathlib import Path

from otel_session import config
from otel_session.cli._text import plural
from otel_session.store import StoreReader

_DELAY = "Telemetry arrives up to 5 s after it happened."
_SECOND = "a session is listed from its second request on."
_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
)
_BOTH = "otlp,otel_session_local"


def how_to_record(store: Path | None = None) -> str:
    """How to get telemetry into a store.

    Args:
        store: The file, when it is not the configured one.
    """
    here = f"OTEL_SESSION_STORE={shlex.quote(str(store))} " if store is not None else ""
    environ = config.environment()
    if endpoint := next((name for name in _ENDPOINTS if environ.get(name, "").strip()), None):
        both = f"OTEL_TRACES_EXPORTER={_BOTH} OTEL_LOGS_EXPORTER={_BOTH}"
        return f"{endpoint} is set: telemetry goes there. To keep it here too, start the app with:\n{here}{both} …"
    return (
        f"Start the app with: {here}otel-session run -- flask --app app run\n"
        f"and open a page or two in a browser: {_SECOND} {_DELAY}"
    )


def none_yet(reader: StoreReader) -> list[str]:
    """Why a store lists no session, and what to do, as lines."""
    counts = reader.counts()
    if not counts["spans"] and not counts["logs"]:
        return ["No sessions yet.", *how_to_record().splitlines()]
    stored = f"{plural(counts['spans'], 'span')} and {plural(counts['logs'], 'log record')}"
    return ["No sessions yet.", f"The store has {stored}, and {_SECOND} {_DELAY}"]
