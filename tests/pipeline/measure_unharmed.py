"""Whatever the far end does, requests take as long as with one that is well: `python tests/pipeline/measure_unharmed.py`.

Two processes serve in turn, in windows of a few hundredths of a second, one with a far end that is well and one with
another that is not. Other programs on the machine disturb single windows; the median of many pairs stays.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.pipeline.far_end import Answer, Served, far_end
from tests.pipeline.made import PROTOCOLS
from tests.pipeline.request_loop import MISTAKES

WINDOW_S = 0.15
CAP = 4 << 20
FEWEST = 12
LIMIT = 1.05
STATES = {
    "dead": None,
    "never answers": Answer(how="never"),
    "slow": Answer(delay_s=0.3),
    "429": Answer(429, retry_after_s=1),
    "400": Answer(400),
}


@dataclass(frozen=True)
class Window:
    """What one window gave: µs, µs, KiB, bytes."""

    p50_us: float
    p99_us: float
    memory_kib: float
    held: float


class App:
    """A process that serves windows."""

    def __init__(self, end: Served, protocol: str, mistake: str) -> None:
        command = [sys.executable, "-m", "tests.pipeline.request_loop", end.url, protocol, str(CAP), mistake]
        self.process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def serve(self, seconds: float = WINDOW_S) -> Window:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return Window(*map(float, self.process.stdout.readline().split()))

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@dataclass
class Compared:
    """Windows side by side."""

    well: list[Window] = field(default_factory=list)
    ill: list[Window] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Of the 99th percentiles, sorted."""
        return sorted(ill.p99_us / well.p99_us for well, ill in zip(self.well, self.ill, strict=True))

    @property
    def median(self) -> float:
        return statistics.median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true median lies with 99 % confidence, by the order statistics: no distribution is assumed."""
        ratios = self.ratios
        spread = 2.58 * math.sqrt(len(ratios)) / 2
        low, high = math.floor(len(ratios) / 2 - spread), math.ceil(len(ratios) / 2 + spread)
        return ratios[max(low, 0)], ratios[min(high, len(ratios) - 1)]

    @property
    def clear(self) -> bool:
        """Whether more pairs would not change the answer."""
        low, high = self.interval
        return len(self.ratios) >= FEWEST and (low > LIMIT or high <= LIMIT)

    @property
    def harmed(self) -> bool:
        """Whether requests take longer, beyond the limit and beyond doubt."""
        return len(self.ratios) >= FEWEST and self.interval[0] > LIMIT

    @property
    def grown_kib(self) -> float:
        """Memory of the one beyond the other's."""
        return self.ill[-1].memory_kib - self.well[-1].memory_kib


@contextmanager
def app(end: Served, protocol: str, mistake: str = "none") -> Iterator[App]:
    """A process that has served for a while."""
    made = App(end, protocol, mistake)
    try:
        made.serve(0.2)
        yield made
    finally:
        made.stop()


def compare(state: str, protocol: str, seconds: float, *, until_clear: bool, mistake: str = "none") -> Compared:
    """Serve pairs of windows for so long, or until the answer is clear."""
    answer = STATES[state]
    found = Compared()
    with far_end(protocol) as well, far_end(protocol, up=answer is not None) as ill:
        ill.answer = answer or Answer()
        with app(well, protocol, mistake) as one, app(ill, protocol, mistake) as other:
            until_s = time.monotonic() + seconds
            while len(found.ill) < FEWEST or (time.monotonic() < until_s and not (until_clear and found.clear)):
                for each, windows in [(one, found.well), (other, found.ill)][:: -1 if len(found.ill) % 2 else 1]:
                    windows.append(each.serve())
    return found


def main(seconds: float, mistake: str) -> None:
    """Print the table."""
    print(f"{'far end':14} {'protocol':9} {'p50 µs':>14} {'p99 µs':>16}  ratio of the p99s")
    print(f"{'':14} {'':9} {'well':>7} {'ill':>6} {'well':>9} {'ill':>6}  median of pairs, where it lies with 99 %")
    for state in STATES:
        for protocol in PROTOCOLS:
            found = compare(state, protocol, seconds, until_clear=False, mistake=mistake)
            p50s, p99s = (
                [statistics.median(getattr(window, name) for window in side) for side in (found.well, found.ill)]
                for name in ("p50_us", "p99_us")
            )
            low, high = found.interval
            print(
                f"{state:14} {protocol:9} {p50s[0]:7.0f} {p50s[1]:6.0f} {p99s[0]:9.0f} {p99s[1]:6.0f}"
                f"  {found.median:.3f} of {len(found.ill)}, {low:.3f} to {high:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[2:] and sys.argv[2] not in MISTAKES:
        sys.exit(f"usage: {sys.argv[0]} [seconds a row] [{'|'.join(MISTAKES)}]")
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, sys.argv[2] if len(sys.argv) > 2 else "none")
