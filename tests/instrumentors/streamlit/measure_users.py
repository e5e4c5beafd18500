"""What recording costs while fifty users work, and whether memory stays when they have gone.

    python -m tests.instrumentors.streamlit.measure_users --seconds 120

Two servers run the example, one plainly, one instrumented. Fifty users rerun on the one and on the other in turns, so
that what else the machine does meets both. CPU is that of all threads of the server.
"""

import argparse
import pathlib
import shutil
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.instrumentors.streamlit.served import EXAMPLE, streamlit
from tests.started import Started
from tests.streamlit_client import Browser, Tab

_CPU_OF_ALL_THREADS = 2  # Linux's clock of another process (clock_getcpuclockid), in nanoseconds


@dataclass
class Load:
    """One server, its users, and what each round of them cost: µs of CPU a rerun."""

    server: Started
    users: list[Tab] = field(default_factory=list)
    reruns: int = 0
    costs_us: list[float] = field(default_factory=list)

    def open(self, users: int) -> None:
        """Let users come."""
        self.users = [Browser(self.server.url).open() for _ in range(users)]

    def leave(self) -> None:
        """Let them go."""
        for user in self.users:
            user.close()
        self.users.clear()

    def work(self, seconds: float) -> None:
        """Let each of them change a filter again and again."""
        until, before, began = time.monotonic() + seconds, self.reruns, self.cpu_s()
        done = [0] * len(self.users)

        def rerun(place: int) -> None:
            user = self.users[place]
            while time.monotonic() < until:
                done[place] += 1
                user.set("billable", done[place] % 2 == 1)

        threads = [threading.Thread(target=rerun, args=(place,)) for place in range(len(self.users))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.reruns += sum(done)
        self.costs_us.append((self.cpu_s() - began) / (self.reruns - before) * 1e6)

    def cpu_s(self) -> float:
        """CPU the server has used, in seconds."""
        return time.clock_gettime((~self.server.process.pid << 3) | _CPU_OF_ALL_THREADS)

    def memory_bytes(self) -> int:
        """The server's resident memory."""
        status = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--round", type=float, default=3)
    parser.add_argument("--no-freeze", action="store_true", help="leave what is loaded to the garbage collector")
    wanted = parser.parse_args()
    variables = {"HOURS_LIVE_S": "600", **({"OTEL_SESSION_GC_FREEZE": "off"} if wanted.no_freeze else {})}
    with ExitStack() as stack:
        loads = []
        for instrumented in (False, True):
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            shutil.copytree(EXAMPLE.parent, folder / "app")
            server = streamlit(folder / "app", "run", "app.py", instrumented=instrumented, **variables)
            loads.append(Load(stack.enter_context(server)))
        _measure(loads, wanted.users, wanted.seconds, wanted.round)


def _measure(loads: list[Load], users: int, seconds: float, round_s: float) -> None:
    for load in loads:
        load.open(users)
        load.work(round_s / 2)
        load.costs_us.clear()
    memory = [load.memory_bytes() for load in loads]
    for turn in range(max(1, round(seconds / (2 * round_s)))):
        for load in loads if turn % 2 else loads[::-1]:
            load.work(round_s)
    after = [load.memory_bytes() for load in loads]
    for load in loads:
        load.leave()
    plain, ours = (statistics.median(load.costs_us) for load in loads)
    for name, load, first, last in zip(("plain", "ours"), loads, memory, after, strict=True):
        quarters = " ".join(f"{cost:,.0f}" for cost in statistics.quantiles(load.costs_us, n=4))
        print(f"{name}: {load.reruns} reruns; quartiles of µs of CPU each: {quarters}; ", end="")
        print(f"memory {first / 1e6:.0f} → {last / 1e6:.0f} MB")
    print(f"overhead {ours - plain:,.0f} µs of {plain:,.0f} µs: {(ours - plain) / plain:.1%}")


if __name__ == "__main__":
    main()
