"""How a process ends: what it held arrives, and a far end that is dead or silent puts the end off for seconds only."""

import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.pipeline.far_end import Answer, far_end
from tests.started import environ_for

LIMIT_S = 6.5  # five of patience, and the start of an interpreter
# At the interpreter's end urllib3 leaves its sockets to the operating system, in the official exporters just so.
WARNINGS = ("-W", "error", "-W", "ignore::ResourceWarning")
PROGRAM = """
import logging, os, signal, sys, time
import otel_session
from opentelemetry import metrics, trace
otel_session.instrument()
tracer = trace.get_tracer("tests")
counter = metrics.get_meter("tests").create_counter("work")
for number in range(200):
    tracer.start_span(str(number)).end()
    counter.add(1)
logging.getLogger("deals").warning("done")
print("ready", flush=True)
"""
PACED = """
number = 200
while True:
    tracer.start_span(str(number)).end()
    print(number, time.time(), flush=True)
    number += 1
    time.sleep(0.005)
"""


@pytest.fixture(params=["http", "grpc"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Program:
    """A Python program that sends to a far end."""

    def __init__(self, source: str, url: str, protocol: str, **variables: str) -> None:
        said = {"http": "http/protobuf", "grpc": "grpc"}[protocol]
        environ = environ_for(
            pathlib.Path(sys.executable),
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_EXPORTER_OTLP_PROTOCOL=said,
            OTEL_LOGS_EXPORTER="otlp",
            **variables,
        )
        self.process = subprocess.Popen(
            [sys.executable, *WARNINGS, "-c", PROGRAM + source],
            env=environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def ready(self) -> None:
        """Wait until it has ended its first spans."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if line == "ready\n":
                return
        raise AssertionError(self.process.communicate()[1])

    def end(self, number: int | None = None) -> tuple[float, str, str]:
        """Wait for its end, after a signal if one is given: how long that took, and what it wrote."""
        if number is not None:
            self.process.send_signal(number)
        started_s = time.monotonic()
        written, errors = self.process.communicate(timeout=60)
        return time.monotonic() - started_s, written, errors


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for each in started:
        each.process.kill()
        each.process.communicate()


def test_ends_well(protocol: str) -> None:
    """At the ordinary end all spans, log records and metrics arrive, at once and without a word."""
    with far_end(protocol) as end:
        program = Program("", end.url, protocol)
        program.ready()
        took_s, _, errors = program.end()
        assert set(end.names) == {str(number) for number in range(200)}
        assert end.logs == {"done": 1}
        assert {m.name for of in end.metrics for s in of.scope_metrics for m in s.metrics} >= {"work"}
    assert end.repeated == 0
    assert took_s < 3
    assert errors.splitlines() == ["done"]


@pytest.mark.parametrize("how", ["dead", "silent", "busy"])
@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_ends_in_time(protocol: str, how: str, number: int | None, programs: list[Program]) -> None:
    """One that is silent puts the end off for five seconds at most, one that is dead or busy by nothing to speak of.

    Two collections of metrics have failed by then. Nobody but us writes a line, and we one.
    """
    with far_end(protocol, up=how != "dead") as end:
        end.answer = Answer(how="never") if how == "silent" else Answer(503, retry_after_s=60)
        often = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "200"}
        program = Program(f"time.sleep({60 if number else 0.5})", end.url, protocol, **often)
        programs.append(program)
        program.ready()
        time.sleep(0.5)
        took_s, _, errors = program.end(number)
    assert took_s < (LIMIT_S if how == "silent" else 1.5)
    assert program.process.returncode == (-signal.SIGTERM if number else 0)
    said = [line for line in errors.splitlines() if line != "done"]
    assert len(said) == 1 or (how == "silent" and not said)  # its silence may last longer than the process
    assert all("cannot deliver" in line for line in said)


def test_told_to_end(protocol: str, programs: list[Program]) -> None:
    """SIGTERM to a program without a handler: what it held arrives, and it ends by the signal."""
    with far_end(protocol) as end:
        program = Program("time.sleep(60)", end.url, protocol)
        programs.append(program)
        program.ready()
        took_s, *_ = program.end(signal.SIGTERM)
        assert len(end.names) == 200
        assert end.logs == {"done": 1}
        assert "work" in {m.name for of in end.metrics for s in of.scope_metrics for m in s.metrics}
    assert program.process.returncode == -signal.SIGTERM
    assert took_s < 3


def test_killed(protocol: str, programs: list[Program]) -> None:
    """`kill -9` loses no more than what was ended within the last linger interval."""
    with far_end(protocol) as end:
        program = Program(PACED, end.url, protocol, OTEL_BSP_SCHEDULE_DELAY="500")
        programs.append(program)
        program.ready()
        time.sleep(2.3)
        killed_s = time.time()
        _, written, _ = program.end(signal.SIGKILL)
        time.sleep(0.2)
        arrived = {int(name) for name in end.names}
    # Whole lines: the last one may have been cut.
    ended = [(int(number), float(at)) for number, at in re.findall(r"^(\d+) (\d+\.\d+)\n", written, re.MULTILINE)]
    lost = [killed_s - at for number, at in ended if number not in arrived]
    assert len(arrived) > 300
    assert max(lost, default=0) < 0.5 + 0.25  # and the time of sending
