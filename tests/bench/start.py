"""What start-up costs beside the official instrumentations: time, memory, size on disk: `make bench`.

An application that imports Flask and SQLAlchemy and answers one request is started bare, as
`opentelemetry-instrument` with the official Flask and SQLAlchemy instrumentations, and with ours, in turns.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.environments import python_with

ROUNDS = 9
LIBRARIES = ("flask>=3.1,<3.2", "sqlalchemy>=2.0,<2.1")  # the official instrumentation refuses 2.1
OFFICIAL = (
    "opentelemetry-distro",
    "opentelemetry-exporter-otlp",
    "opentelemetry-instrumentation-flask",
    "opentelemetry-instrumentation-sqlalchemy",
)
APP = """
import json, os, resource
from flask import Flask
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
engine = create_engine("sqlite://")
app = Flask("started")
@app.get("/")
def index():
    with Session(engine) as orm:
        return str(orm.execute(text("SELECT 1")).scalar())
assert app.test_client().get("/").data == b"1"
print(json.dumps({"mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}), flush=True)
os._exit(0)

"""


def command(python: Path, *, instrumented: bool) -> list[str]:
    """How the application is started."""
    launcher = [str(python.parent / "opentelemetry-instrument")] if instrumented else []
    return [*launcher, str(python), "-c", APP]


def start(words: list[str]) -> tuple[float, float]:
    """Seconds until the application has answered, and its memory then in MiB."""
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_TRACES_EXPORTER": "otlp"}
    environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "PYTHONDONTWRITEBYTECODE": ""}
    with tempfile.TemporaryDirectory() as empty:  # Python keeps a listing of where it is started
        began = time.perf_counter()
        done = subprocess.run(words, env=environ, capture_output=True, text=True, cwd=empty)
        took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed:\n{done.stderr[-2000:]}")
    return took, json.loads(done.stdout.splitlines()[-1])["mib"]


def size_mib(python: Path) -> float:
    """What is installed, without pip and what it compiles."""
    root = python.parent.parent / "lib"
    files = (f for f in root.rglob("*") if f.is_file() and f.suffix != ".pyc" and "/pip" not in str(f))
    return sum(f.stat().st_size for f in files) / 2**20


def version_of(python: Path, package: str) -> str:
    """The version of a package in an environment."""
    asked = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Measure in turns and print what each adds."""
    official = python_with(*LIBRARIES, *OFFICIAL, bare=True)
    same = f"opentelemetry-sdk=={version_of(official, 'opentelemetry-sdk')}"  # what the SDK costs is nobody's merit
    pythons = {
        "bare": python_with(*LIBRARIES, bare=True),
        "official": official,
        "ours": python_with(*LIBRARIES, same, extras="flask,sqlalchemy,otlp"),
    }
    words = {name: command(python, instrumented=name != "bare") for name, python in pythons.items()}
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in words}
    for number in range(ROUNDS + 1):
        for name, started in words.items():
            measured = start(started)
            if number:  # the first writes the compiled files
                seen[name].append(measured)
    base = seen["bare"]
    print(f"{'what start-up adds to a bare one':<46} {'seconds':>10} {'MiB memory':>10} {'MiB on disk':>11}")
    for name in ("official", "ours"):
        seconds = statistics.median(a[0] - b[0] for a, b in zip(seen[name], base, strict=True))
        memory = statistics.median(a[1] - b[1] for a, b in zip(seen[name], base, strict=True))
        disk = size_mib(pythons[name]) - size_mib(pythons["bare"])
        print(f"{name:<46} {seconds:>10.3f} {memory:>10.1f} {disk:>11.1f}")


if __name__ == "__main__":
    main()
