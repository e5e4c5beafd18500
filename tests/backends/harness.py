"""Start a real Jaeger, Collector and Prometheus for a test, wired to each other.

Each `run_…` is a context manager: it gives the running back end once it is ready, and stops it at the end. Logs and
data stay in the folder it is given.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.backends.clients import JaegerClient, PrometheusClient, answers, get
from tests.backends.processes import REPOSITORY, Process, find_program, free_addresses

COLLECTOR_CONFIG = REPOSITORY / "collector-config.yaml"
JAEGER_CONFIG = REPOSITORY / "deploy" / "jaeger-config.yaml"

# honor_labels: `job` is the service's name and `instance` its instance id, as the Collector says, not the Collector.
PROMETHEUS_CONFIG = """\
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: collector
    honor_labels: true
    static_configs:
      - targets: {targets}
"""


@dataclass(frozen=True)
class Jaeger:
    """A running Jaeger with an empty store; `otlp_grpc` is `host:port`, the others are `http://host:port`."""

    otlp_grpc: str
    otlp_http: str
    client: JaegerClient


@dataclass(frozen=True)
class Collector:
    """A running Collector with the repository's configuration.

    Attributes:
        otlp_grpc: `host:port` for applications.
        otlp_http: `http://host:port` for applications; the signals are under `/v1/`.
        prometheus: `host:port` to scrape.
        logs_file: Where the logs pipeline writes a line of OTLP JSON per batch.
        process: The program, for its log.
    """

    otlp_grpc: str
    otlp_http: str
    prometheus: str
    logs_file: Path
    process: Process

    def log_records(self) -> list[dict[str, object]]:
        """Return the log records that have left the pipeline so far, as OTLP JSON."""
        if not self.logs_file.exists():
            return []
        # A line that is still being written has no end yet.
        whole_lines = self.logs_file.read_text(encoding="utf-8").split("\n")[:-1]
        resources = [resource for line in whole_lines for resource in json.loads(line)["resourceLogs"]]
        scopes = [scope for resource in resources for scope in resource["scopeLogs"]]
        return [record for scope in scopes for record in scope["logRecords"]]


@contextlib.contextmanager
def run_jaeger(folder: Path) -> Iterator[Jaeger]:
    """Start Jaeger with deploy/jaeger-config.yaml."""
    grpc, http, query, query_grpc = free_addresses(4)
    env = {
        "JAEGER_OTLP_GRPC_ENDPOINT": grpc,
        "JAEGER_OTLP_HTTP_ENDPOINT": http,
        "JAEGER_QUERY_ENDPOINT": query,
        "JAEGER_QUERY_GRPC_ENDPOINT": query_grpc,
    }
    with Process(find_program("jaeger"), "--config", str(JAEGER_CONFIG), log=folder / "jaeger.log", env=env) as process:
        client = JaegerClient(f"http://{query}")
        process.wait_until(lambda: answers(f"{client.url}/api/services"))
        yield Jaeger(grpc, f"http://{http}", client)


@contextlib.contextmanager
def run_collector(folder: Path, *, jaeger_otlp_grpc: str, **env: str) -> Iterator[Collector]:
    """Start the Collector with collector-config.yaml; further keywords are environment variables for it."""
    grpc, http, prometheus, health, own_metrics = free_addresses(5)
    logs_file = folder / "collector-logs.jsonl"
    addresses = {
        "OTELCOL_OTLP_GRPC_ENDPOINT": grpc,
        "OTELCOL_OTLP_HTTP_ENDPOINT": http,
        "OTELCOL_PROMETHEUS_ENDPOINT": prometheus,
        "OTELCOL_HEALTH_ENDPOINT": health,
        "OTELCOL_METRICS_PORT": own_metrics.rpartition(":")[2],
        "OTELCOL_LOGS_EXPORTERS": "[file/logs]",
        "OTELCOL_LOGS_FILE": str(logs_file),
        "JAEGER_OTLP_ENDPOINT": jaeger_otlp_grpc,
    }
    arguments = ("--config", str(COLLECTOR_CONFIG))
    with Process(find_program("otelcol"), *arguments, log=folder / "otelcol.log", env={**addresses, **env}) as process:
        process.wait_until(lambda: answers(f"http://{health}"))
        yield Collector(grpc, f"http://{http}", prometheus, logs_file, process)


@contextlib.contextmanager
def run_prometheus(folder: Path, *, targets: list[str]) -> Iterator[PrometheusClient]:
    """Start Prometheus, scraping these `host:port` every second, exemplars kept."""
    (address,) = free_addresses(1)
    config = folder / "prometheus.yml"
    config.write_text(PROMETHEUS_CONFIG.format(targets=json.dumps(targets)), encoding="utf-8")
    arguments = (
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'prometheus-data'}",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
    )
    with Process(find_program("prometheus"), *arguments, log=folder / "prometheus.log") as process:
        url = f"http://{address}"
        # Ready means that its own store is open; one answered scrape means that it is useful.
        process.wait_until(lambda: answers(f"{url}/-/ready") and b'"health":"up"' in get(f"{url}/api/v1/targets"))
        yield PrometheusClient(url)
