"""The command `otel-session`: parse, call, print, exit code."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from otel_session._version import __version__
from otel_session.exceptions import OtelSessionError

_COMMANDS = {
    "run": "start a command instrumented; into the local store when no OTLP endpoint is set",
    "sessions": "list the sessions of the local store",
    "show": "show one session: its requests, queries, log lines and errors",
    "build-stamp": "write build_stamp.json: commit, branch and date of what is built here",
}

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0 done, 1 it could not be done (standard error says why), 2 the call's words are off.
    """
    chosen = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="otel-session", description="See what one user's session did.")
    parser.add_argument("--version", action="version", version=f"otel-session {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, about in _COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        if chosen and chosen[0] != name:
            continue  # only the module of the command at hand is loaded
        _module(name).add_arguments(command)
    parsed = parser.parse_args(chosen)
    try:
        code: int = _module(parsed.command).run(parsed)
        return code
    except OtelSessionError as error:
        print(f"otel-session: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # | head
        sys.stderr.close()
        return 0


def _module(command: str) -> Any:
    return importlib.import_module(f"otel_session.cli.{command.replace('-', '_')}")
