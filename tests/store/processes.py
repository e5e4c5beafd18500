"""Other processes for the tests: Python started on a few lines of its own, so that pytest is never forked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Run `code` in a new process, its arguments in `sys.argv[1:]`, its output and errors in pipes."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,  # its children die with it
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )


def finish(process: subprocess.Popen[str], timeout_s: float = 30) -> str:
    """What the process printed; its end must be a good one, or it is ended with all its children."""
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        errors += f"\nNot ended after {timeout_s} s."
    assert process.returncode == 0, errors
    return output


def run(code: str, *arguments: object) -> str:
    """Start, wait, and return what was printed."""
    return finish(start(code, *arguments))
