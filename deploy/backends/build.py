"""Build the real back ends, an OpenTelemetry Collector and a Jaeger, into a cache folder.

`make backends` runs this file. It needs Go and nothing else: no containers, no Python packages. The programs land
outside the checkout, in `$OTEL_SESSION_BACKENDS`, else `$XDG_CACHE_HOME/otel-session/backends`, else
`~/.cache/otel-session/backends`, and are built again only when what they are made from changes.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# Run as a script, from a checkout: the other files of this folder are its modules.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from recipes import RECIPES, BuildError, check_go
from shelf import Shelf

SECONDS_TO_EXPECT = {"otelcol": 240, "jaeger": 300}


def backends_dir() -> Path:
    """Return the folder that holds the built programs; it may not exist yet."""
    named = os.environ.get("OTEL_SESSION_BACKENDS")
    if named:
        return Path(named).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().absolute() / "otel-session" / "backends"


def bring(name: str, shelf: Shelf) -> None:
    """Put one program on the shelf, unless the same build of it stands there already.

    Raises:
        BuildError: Go is missing or too old, or the build failed.
    """
    recipe = RECIPES[name]
    inputs = recipe.digest()
    if shelf.has(name, inputs):
        print(f"{name}: already built", flush=True)
        return
    check_go(name)
    with shelf.turn(name):
        # Whoever held the turn before us may have built just this.
        if shelf.has(name, inputs):
            print(f"{name}: already built, by another run", flush=True)
            return
        print(f"{name}: building, about {SECONDS_TO_EXPECT[name] // 60} minutes on two cores ...", flush=True)
        with shelf.workshop(name) as work:
            seconds = recipe.build(work)
            size_mb = shelf.keep(name, inputs, work / name) / 1e6
        print(f"{name}: built in {seconds:.0f} s, {size_mb:.0f} MB", flush=True)


def main(argv: list[str] | None = None) -> int:
    """Build what is named, or everything; return the exit code."""
    parser = argparse.ArgumentParser(description="Build the OpenTelemetry Collector and Jaeger into a cache folder.")
    parser.add_argument("--print-dir", action="store_true", help="print the folder of the programs and stop")
    parser.add_argument("program", nargs="*", help="what to build: otelcol, jaeger (default: both)")
    options = parser.parse_args(argv)
    unknown = [name for name in options.program if name not in RECIPES]
    if unknown:
        parser.error(f"there is no {unknown[0]!r}; expected {' or '.join(RECIPES)}")
    folder = backends_dir()
    if options.print_dir:
        print(folder)
        return 0
    try:
        for name in options.program or RECIPES:
            bring(name, Shelf(folder))
    except (BuildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"The programs are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
