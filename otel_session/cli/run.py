"""`otel-session run -- COMMAND`: start any command instrumented, with our distribution."""

from __future__ import annotations

import argparse
import shutil
import sys

from otel_session import config
from otel_session.config import Config, HttpConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = "Example: otel-session run -- flask --app app run. Every OTEL_* variable counts as usual."
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND [ARG …]", help="the command to start")


def run(arguments: argparse.Namespace) -> int:
    """Become the command, with its Python instrumented; returns only when it cannot be started.

    Raises:
        ConfigError: A variable cannot be used: said before anything starts.
    """
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not words:
        print("otel-session: no command given; try: otel-session run -- flask --app app run", file=sys.stderr)
        return 2
    if shutil.which(words[0]) is None:
        print(f"otel-session: there is no program {words[0]!r} on the PATH.", file=sys.stderr)
        return 127
    Config.load()
    HttpConfig.load()
    config.set_default("OTEL_PYTHON_DISTRO", "otel_session")
    config.set_default("OTEL_PYTHON_CONFIGURATOR", "otel_session")
    from opentelemetry.instrumentation.auto_instrumentation import run as start

    sys.argv = ["opentelemetry-instrument", *words]
    start()
    return 1
