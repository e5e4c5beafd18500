"""A far end and the local store at once: each gets everything once, by the way that costs least."""

import json
import pathlib
import subprocess
import sys

from otel_session.store import StoreReader
from tests.pipeline.far_end import far_end
from tests.started import environ_for

PROGRAM = """
import json, logging
from opentelemetry import trace
from opentelemetry._logs import get_logger_provider
from otel_session.instrumentors.logging import _writer
from otel_session.wire.short_way import ShortWay

with trace.get_tracer("tests").start_as_current_span("one"):
    for number in range(3):
        logging.getLogger("shop").warning("line %d", number)
print(json.dumps([_writer.writes(get_logger_provider()), ShortWay(trace.get_tracer("tests")).is_open()]))
"""


def test_each_gets_all_once(tmp_path: pathlib.Path) -> None:
    """Spans and log lines are at both, once, and no SDK object was made for them."""
    store, both = tmp_path / "telemetry.db", "otlp,otel_session_local"
    with far_end() as end:
        environ = environ_for(
            pathlib.Path(sys.executable),
            OTEL_PYTHON_DISTRO="otel_session",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_ENDPOINT=end.url,
            OTEL_SESSION_STORE=str(store),
            OTEL_TRACES_EXPORTER=both,
            OTEL_LOGS_EXPORTER=both,
            OTEL_METRICS_EXPORTER="none",
        )
        command = ["opentelemetry-instrument", sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [True, True]
    lines = {f"line {number}": 1 for number in range(3)}
    assert (end.names, end.logs) == ({"one": 1}, lines)
    with StoreReader(store) as reader:
        counts = reader.counts()
    assert (counts["spans"], counts["logs"]) == (1, 3)
