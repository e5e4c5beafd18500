"""Find the real programs, start them on free loopback ports, and leave none behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
LOG_LINES_SHOWN = 40
POLL_S = 0.05

HOW_TO_GET = {
    "otelcol": "The OpenTelemetry Collector is not built. Build it with: make backends",
    "jaeger": "Jaeger is not built. Build it with: make backends",
    "prometheus": "Prometheus is not installed. Install it with: apt-get install prometheus",
}


class MissingProgramError(Exception):
    """A back end is not on this machine; the text says how to get it."""


class StartError(Exception):
    """A back end did not come up; the text has the end of its log."""


def find_program(name: str) -> Path:
    """Return the path of `otelcol` or `jaeger` in the cache folder, or of a program on the PATH.

    Raises:
        MissingProgramError: It is in neither place.
    """
    build = [sys.executable, str(REPOSITORY / "deploy" / "backends" / "build.py"), "--print-dir"]
    if name in ("otelcol", "jaeger"):
        folder = subprocess.run(build, capture_output=True, text=True, check=True).stdout.strip()
        found = shutil.which(name, path=folder)
    else:
        found = shutil.which(name) or shutil.which(name, path="/usr/bin:/usr/local/bin")
    if found is None:
        raise MissingProgramError(HOW_TO_GET.get(name, f"{name} is not on the PATH."))
    return Path(found)


def free_addresses(count: int) -> list[str]:
    """Return so many different `127.0.0.1:port` that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [f"{HOST}:{each.getsockname()[1]}" for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Process:
    """A program running in a process group of its own, with its output in a file.

    As a context manager it stops the program at the end. Should this Python die first, the kernel ends the program
    (through `setpriv`, where there is one).
    """

    def __init__(self, program: Path, *arguments: str, log: Path, env: dict[str, str] | None = None) -> None:
        self.name = program.name
        self.log = log
        setpriv = shutil.which("setpriv")
        prefix = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
        with open(log, "ab") as output:
            self._popen = subprocess.Popen(
                [*prefix, str(program), *arguments],
                cwd=log.parent,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until `ready()`; stop the program and raise `StartError` with its log when that does not come."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            code = self._popen.poll()
            if code is None and time.monotonic() < deadline:
                time.sleep(POLL_S)
                continue
            self.stop()
            what = f"was not ready after {timeout_s:g} s" if code is None else f"ended with exit code {code}"
            raise StartError(f"{self.name} {what}. The end of {self.log}:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """Return the last lines that the program has written."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:])

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ask the whole group to end; kill it after `timeout_s` seconds. Stopping twice is stopping once."""
        if self._popen.poll() is not None:
            return
        # Not waited for yet, so its group id cannot have become somebody else's.
        os.killpg(self._popen.pid, signal.SIGTERM)
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait(timeout_s)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
