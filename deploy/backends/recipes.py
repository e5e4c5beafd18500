"""How each back end is built: its inputs, and the Go commands that make a program of them."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The highest `go` line among the Collector's and Jaeger's modules.
GO_NEEDED = (1, 25)
# No paths of this machine, no version control, no symbols: one Go makes the same bytes everywhere, of half the size.
BUILD_FLAGS = ("-trimpath", "-buildvcs=false", "-ldflags=-s -w")
OUTPUT_LINES_SHOWN = 25


class BuildError(Exception):
    """A back end could not be built; the text says what to do."""


@dataclass(frozen=True)
class Recipe:
    """One program: the files it is made from, and what turns them into `<work>/<name>`."""

    inputs: tuple[Path, ...]
    steps: Callable[[Path], None]

    def digest(self) -> str:
        """Return the hash of everything that decides what the program is."""
        digest = hashlib.sha256(repr((BUILD_FLAGS, sys.platform, platform.machine())).encode())
        for path in self.inputs:
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def build(self, work: Path) -> float:
        """Build into the folder `work`; return the seconds it took."""
        started = time.monotonic()
        self.steps(work)
        return time.monotonic() - started


def check_go(name: str) -> None:
    """Raise `BuildError` unless a Go that can build `name` is on the PATH."""
    needed = ".".join(map(str, GO_NEEDED))
    go = shutil.which("go")
    if go is None:
        raise BuildError(f"{name} is built with Go {needed} or newer; there is no `go` on the PATH. Install Go.")
    version = subprocess.run([go, "version"], env=go_environment(), capture_output=True, text=True, check=False).stdout
    found = re.search(r"go(\d+)\.(\d+)\S*", version)
    if found is None:
        raise BuildError(f"`{go} version` answers {version.strip()!r}; expected a version such as go{needed}.")
    if (int(found[1]), int(found[2])) < GO_NEEDED:
        raise BuildError(f"{name} is built with Go {needed} or newer; {go} is {found[0]}. Put a newer one on the PATH.")


def go_environment(**more: str) -> dict[str, str]:
    """Return the environment for Go commands.

    GOTOOLCHAIN: an older Go says so instead of downloading a newer one. GOWORK: a workspace around the checkout has
    no say. CGO_ENABLED: no C compiler needed, and a program that runs on any Linux of this architecture.
    """
    return {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0", **more}


def run(command: list[str], *, cwd: Path, **environment: str) -> None:
    """Run a command quietly; raise `BuildError` with the end of its output when it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=go_environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        output = "\n".join(done.stdout.splitlines()[-OUTPUT_LINES_SHOWN:])
        raise BuildError(f"`{' '.join(command)}` failed with exit code {done.returncode}:\n{output}")


def build_otelcol(work: Path) -> None:
    """Let the official builder write the Collector's sources, and compile them.

    The builder's own `go mod tidy` asks for modules that only tests of the components need, and fails where one of
    them cannot be had. So the builder writes the sources only; the versions come from the manifest, and Go's
    minimal version selection makes the same choice for everything below them each time.
    """
    manifest = HERE / "collector" / "manifest.yaml"
    text = manifest.read_text(encoding="utf-8")
    version = "v" + re.findall(r"^ +version: (\S+)", text, re.MULTILINE)[0]
    modules = re.findall(r"^ +- gomod: (\S+ v\S+)", text, re.MULTILINE)
    modules += [f"go.opentelemetry.io/collector/{module} {version}" for module in ("otelcol", "service")]
    run(["go", "install", f"go.opentelemetry.io/collector/cmd/builder@{version}"], cwd=work, GOBIN=str(work))
    flags = ["--skip-get-modules", "--skip-compilation"]
    run([str(work / "builder"), "--config", str(manifest), *flags], cwd=work)
    sources = work / "sources"
    requirements = "".join(f"\t{module}\n" for module in modules)
    go_mod = f"module otelcol\n\ngo {GO_NEEDED[0]}.{GO_NEEDED[1]}\n\nrequire (\n{requirements})\n"
    (sources / "go.mod").write_text(go_mod, encoding="utf-8")
    run(["go", "build", "-mod=mod", *BUILD_FLAGS, "-o", str(work / "otelcol"), "."], cwd=sources)


def build_jaeger(work: Path) -> None:
    """Compile Jaeger from the module that names it as a tool; its versions and checksums are committed."""
    program = "github.com/jaegertracing/jaeger/cmd/jaeger"
    run(["go", "build", "-mod=readonly", *BUILD_FLAGS, "-o", str(work / "jaeger"), program], cwd=HERE / "jaeger")


RECIPES = {
    "otelcol": Recipe((HERE / "collector" / "manifest.yaml",), build_otelcol),
    "jaeger": Recipe((HERE / "jaeger" / "go.mod", HERE / "jaeger" / "go.sum"), build_jaeger),
}
