"""The harness itself: what it starts, it stops, and what does not start says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.backends.clients import eventually
from tests.backends.processes import REPOSITORY, Process, StartError, free_addresses

SHELL = Path("/bin/sh")


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_failed_start_shows_log(tmp_path: Path) -> None:
    """A program that ends before it is ready is reported with its exit code and its last words."""
    process = Process(SHELL, "-c", "echo port is taken; exit 7", log=tmp_path / "log")
    with pytest.raises(StartError, match=r"sh ended with exit code 7\. The end of .*log:\nport is taken"):
        process.wait_until(lambda: False)


def test_late_start_is_stopped(tmp_path: Path) -> None:
    """A program that is not ready in time is reported so, and does not stay."""
    process = Process(SHELL, "-c", "echo $$; exec sleep 60", log=tmp_path / "log")
    program = int(eventually(process.log_tail))
    with pytest.raises(StartError, match=r"sh was not ready after 0\.1 s"):
        process.wait_until(lambda: False, timeout_s=0.1)
    assert not alive(program)


def test_stubborn_program_is_killed(tmp_path: Path) -> None:
    """A program that does not end when asked to is killed, with what it has started."""
    script = "trap '' TERM; sleep 60 & echo $!; wait; sleep 60"
    process = Process(SHELL, "-c", script, log=tmp_path / "log")
    child = int(eventually(process.log_tail))
    process.stop(timeout_s=0.3)
    eventually(lambda: not alive(child))


def test_killed_python_leaves_no_program(tmp_path: Path) -> None:
    """When the Python that started a program is killed outright, the program ends too."""
    script = (
        "from pathlib import Path; import time; from tests.backends.processes import Process\n"
        f"print(Process(Path('/bin/sleep'), '60', log=Path({str(tmp_path / 'log')!r}))._popen.pid, flush=True)\n"
        "time.sleep(60)"
    )
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=env) as python:
        assert python.stdout is not None
        program = int(python.stdout.readline())
        time.sleep(0.2)  # setpriv has handed over to the program
        assert alive(program)
        python.send_signal(signal.SIGKILL)
    eventually(lambda: not alive(program))


def test_free_addresses_differ() -> None:
    """Addresses asked for together are all different."""
    addresses = free_addresses(50)
    assert len(set(addresses)) == 50
