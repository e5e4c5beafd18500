"""The real back ends as fixtures: started once, for the tests that name them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.clients import PrometheusClient
from tests.backends.harness import Collector, Jaeger, run_collector, run_jaeger, run_prometheus
from tests.backends.processes import MissingProgramError, find_program


def need(name: str) -> Path:
    """Return a program's path; skip without it, or fail where the back ends are required (`.ci/run`)."""
    try:
        return find_program(name)
    except MissingProgramError as missing:
        sentence = str(missing)
    if os.environ.get("OTEL_SESSION_REQUIRE_BACKENDS") == "1":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


@pytest.fixture(scope="session")
def otelcol() -> Path:
    """The Collector's program."""
    return need("otelcol")


@pytest.fixture(scope="session")
def logs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the back ends keep their logs and data for this run of pytest."""
    return tmp_path_factory.mktemp("backends")


@pytest.fixture(scope="session")
def jaeger(logs_folder: Path) -> Iterator[Jaeger]:
    """A Jaeger in memory. It is shared: tests use service names of their own."""
    need("jaeger")
    with run_jaeger(logs_folder) as running:
        yield running


@pytest.fixture(scope="session")
def collector(logs_folder: Path, jaeger: Jaeger) -> Iterator[Collector]:
    """A Collector with the repository's configuration, in front of `jaeger`."""
    need("otelcol")
    with run_collector(logs_folder, jaeger_otlp_grpc=jaeger.otlp_grpc) as running:
        yield running


@pytest.fixture(scope="session")
def prometheus(logs_folder: Path, collector: Collector) -> Iterator[PrometheusClient]:
    """A Prometheus that scrapes `collector` every second."""
    need("prometheus")
    with run_prometheus(logs_folder, targets=[collector.prometheus]) as client:
        yield client
