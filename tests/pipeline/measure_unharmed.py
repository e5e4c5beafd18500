"""Whether requests take longer when the far end is not well, run by hand: `python tests/pipeline/measure_unharmed.py`.

Two processes serve in turn, in windows of a tenth of a second, one with a far end that is well and one with another
that is not. Other programs on the machine disturb single windows; the median of many pairs stays.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.pipeline.far_end import Answer, Served, far_end  # noqa: E402 -- run by hand, it is not on the path
from tests.pipeline.made import PROTOCOLS  # noqa: E402
from tests.pipeline.request_loop import MISTAKES  # noqa: E402

WINDOW_S = 0.1
CAP = 4 << 20
FEWEST = 12
LIMIT = 1.05
"""Most that the 99th percentile may be longer."""
MEAN_LIMIT = 1.25
"""The same for the mean. Flat out, at 40,000 spans a second, 1.03 to 1.07 is what it costs to touch fresh memory."""
STATES = {
    "dead": None,
    "never answers": Answer(how="never"),
    "slow": Answer(delay_s=0.3),
    "429": Answer(429, retry_after_s=1),
    "400": Answer(400),
}


@dataclass(frozen=True)
class Window:
    """What one window gave. The mean tells of single requests that wait long, which no percentile does."""

    p50_us: float
    p99_us: float
    mean_us: float
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
        assert self.process.stdin is not None
        assert self.process.stdout is not None
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

    def ratios(self, of: str = "p99_us") -> list[float]:
        """Ill over well, pair by pair, sorted."""
        return sorted(getattr(ill, of) / getattr(well, of) for well, ill in zip(self.well, self.ill, strict=True))

    def interval(self, of: str = "p99_us") -> tuple[float, float]:
        """Where the true median lies with 99 % confidence, by the order statistics: no distribution is assumed."""
        ratios = self.ratios(of)
        spread = 2.58 * math.sqrt(len(ratios)) / 2
        low, high = math.floor(len(ratios) / 2 - spread), math.ceil(len(ratios) / 2 + spread)
        return ratios[max(low, 0)], ratios[min(high, len(ratios) - 1)]

    @property
    def harmed(self) -> bool:
        """Whether requests take longer, beyond the limit and beyond doubt."""
        limits = {"p99_us": LIMIT, "mean_us": MEAN_LIMIT}
        return len(self.ill) >= FEWEST and any(self.interval(of)[0] > limit for of, limit in limits.items())


def compare(answer: Answer | None, protocol: str, seconds: float, mistake: str = "none") -> Compared:
    """Serve pairs of windows for so long, or until it is beyond doubt that requests take longer.

    Args:
        answer: Of the far end that is not well; None when nobody listens.
        protocol: One of PROTOCOLS.
        seconds: FEWEST pairs are served in any case.
        mistake: One of `request_loop`'s.
    """
    found = Compared()
    with far_end(protocol) as well, far_end(protocol, up=answer is not None) as ill:
        ill.answer = answer or Answer()
        sides = [(App(well, protocol, mistake), found.well), (App(ill, protocol, mistake), found.ill)]
        try:
            for app, _ in sides:
                app.serve(0.2)
            until_s = time.monotonic() + seconds
            while len(found.ill) < FEWEST or (time.monotonic() < until_s and not found.harmed):
                for app, windows in reversed(sides) if len(found.ill) % 2 else sides:
                    windows.append(app.serve())
        finally:
            for app, _ in sides:
                app.stop()
    return found


def row(state: str, protocol: str, found: Compared) -> str:
    """A line of the table."""
    p50s, p99s = (
        [statistics.median(getattr(window, of) for window in side) for side in (found.well, found.ill)]
        for of in ("p50_us", "p99_us")
    )
    told = [
        f"{statistics.median(found.ratios(of)):6.3f} ({low:.3f} to {high:.3f})"
        for of in ("p99_us", "mean_us")
        for low, high in [found.interval(of)]
    ]
    times = f"{p50s[0]:6.0f} {p50s[1]:6.0f}   {p99s[0]:6.0f} {p99s[1]:6.0f}"
    return f"{state:14} {protocol:5} {times}   {'   '.join(told)}   {len(found.ill)}"


def main(seconds: float, mistake: str) -> None:
    """Print the table."""
    print("µs: with a far end that is well, with this one. Ratios: the median of the pairs, where it lies with 99 %.")
    print(f"{'far end':14} {'':5} {'p50':>13}   {'p99':>13}   {'ratio of the p99':24}   {'of the mean':24}   pairs")
    for state, answer in STATES.items():
        for protocol in PROTOCOLS:
            print(row(state, protocol, compare(answer, protocol, seconds, mistake)), flush=True)


if __name__ == "__main__":
    if sys.argv[2:] and sys.argv[2] not in MISTAKES:
        sys.exit(f"usage: {sys.argv[0]} [seconds a row] [{'|'.join(MISTAKES)}]")
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, sys.argv[2] if len(sys.argv) > 2 else "none")
