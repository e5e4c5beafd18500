"""Whatever the far end does, requests take as long as with one that is well, and memory stays within its cap."""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.far_end import Answer, Served, far_end

ROOT = Path(__file__).parents[2]
SECONDS = 0.7
CAP = 4 << 20
FEWEST, MOST = 4, 24
FAULTS = {
    "dead": None,
    "silent": Answer(how="never"),
    "busy": Answer(503, retry_after_s=1),
    "slow": Answer(delay_s=0.3),
    "breaks": Answer(how="half"),
}


def serve(end: Served, protocol: str) -> tuple[float, int, int]:
    """A process that serves for a while: the 99th percentile in µs, its memory in KiB, the most bytes that waited."""
    command = [sys.executable, "-m", "tests.pipeline.request_loop", end.url, protocol, str(SECONDS), str(CAP)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    p99, memory_kib, held, _ = done.stdout.split()
    return float(p99), int(memory_kib), int(held)


@pytest.mark.parametrize("fault", FAULTS)
def test_unharmed(fault: str) -> None:
    """The median of paired ratios of the 99th percentile, with the fault to without, is at most 1.05.

    Other programs on the machine disturb single pairs by half; more pairs are run until the median is clear.
    """
    answer = FAULTS[fault]
    ratios: list[float] = []
    with far_end() as well, far_end(up=answer is not None) as ill:
        ill.answer = answer or Answer()
        while len(ratios) < FEWEST or (len(ratios) < MOST and statistics.median(ratios) > 1.05):
            first, second = (well, ill) if len(ratios) % 2 else (ill, well)
            runs = {id(end): serve(end, "http") for end in (first, second)}
            (well_us, well_kib, _), (ill_us, ill_kib, held) = runs[id(well)], runs[id(ill)]
            ratios.append(ill_us / well_us)
            assert held <= CAP
            # Twice for what the allocator and a request under way take.
            assert ill_kib - well_kib < 2 * CAP / 1024 + 4_096
    assert statistics.median(ratios) <= 1.05, ratios
