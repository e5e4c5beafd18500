"""A real application under a fixed load for a long time; what its process holds meanwhile.

By hand: `python -m tests.pipeline.long_run --minutes 30`. The application (Flask, SQLAlchemy, log lines) is served by
Werkzeug's threaded server in a process of its own, started without a change of its code, and delivers to a far end by
OTLP and to a local file. New visitors come all the time; every tenth request fails, every twentieth leaks.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.pipeline.far_end import far_end

APP = """
import gc, logging, os, threading
from flask import Flask, request
from sqlalchemy import Column, Integer, String, create_engine, select
from sqlalchemy.orm import Session, declarative_base

log = logging.getLogger("shop")
logging.basicConfig(level=logging.INFO, filename=os.devnull)
app = Flask(__name__)
engine = create_engine("sqlite:///deals.db", connect_args={"timeout": 20})
Base = declarative_base()

class Deal(Base):
    __tablename__ = "deal"
    id = Column(Integer, primary_key=True)
    title = Column(String(40))

Base.metadata.create_all(engine)

@app.get("/deals/<int:number>")
def deals(number):
    log.info("deal %d", number)
    with Session(engine) as orm:
        orm.add(Deal(title=f"deal {number}"))
        orm.commit()
        found = orm.execute(select(Deal).where(Deal.id <= 10)).scalars().all()
        if number % 10 == 0:
            raise RuntimeError("on purpose")
        if number % 20 == 1:
            leaked = Session(engine)
            leaked.execute(select(Deal).limit(1)).all()
            del leaked
            gc.collect(0)
        return str(len(found))

@app.get("/held")
def held():
    pages = int(open("/proc/self/statm").read().split()[1])
    memory, files = pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))
    return " ".join(map(str, [memory, files, threading.active_count(), len(gc.get_objects())]))

app.run(port=int(os.environ["PORT"]), threaded=True)
"""


class Held(NamedTuple):
    """What the process holds: bytes of memory, open files, threads, objects of the garbage collector."""

    memory: int
    files: int
    threads: int
    objects: int


@contextlib.contextmanager
def application(folder: pathlib.Path, endpoint: str) -> Iterator[int]:
    """The application, ready; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "app.py").write_text(APP)
    environ = {
        **os.environ,
        "PORT": str(port),
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_TRACES_EXPORTER": "otlp,otel_session_local",
        "OTEL_LOGS_EXPORTER": "otlp,otel_session_local",
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        "OTEL_SESSION_STORE": str(folder / "telemetry.db"),
        "OTEL_SESSION_STORE_MAX_BYTES": "32MiB",
    }
    command = [str(pathlib.Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, "app.py"]
    with (folder / "app.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
        try:
            _await(port)
            yield port
        finally:
            process.terminate()
            process.wait(30)


def _await(port: int) -> None:
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise TimeoutError("the application did not come up")


def _get(port: int, path: str, cookie: str = "") -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        return answer.status, answer.read(), (answer.getheader("Set-Cookie") or "").partition(";")[0]
    finally:
        connection.close()


def load(port: int, rate: float, seconds: float, first: int, status: dict[int, int]) -> None:
    """So many requests a second; a visitor stays for twenty."""
    began_s, cookie = time.monotonic(), ""
    for number in range(int(rate * seconds)):
        due_s = began_s + number / rate
        time.sleep(max(0.0, due_s - time.monotonic()))
        code, _, fresh = _get(port, f"/deals/{first + number}", cookie if number % 20 else "")
        cookie = fresh or cookie
        status[code] = status.get(code, 0) + 1


def watched(folder: pathlib.Path, minutes: float, rate: float = 40.0, every_s: float = 10.0) -> Iterator[Held]:
    """Load the application; what it holds every ten seconds."""
    status: dict[int, int] = {}
    with far_end() as far, application(folder, far.url) as port:
        loading = threading.Thread(target=load, args=(port, rate, minutes * 60, 1, status), daemon=True)
        loading.start()
        while loading.is_alive():
            loading.join(every_s)
            yield Held(*map(int, _get(port, "/held")[1].split()))
    assert set(status) == {200, 500}, status


def main() -> None:
    """Print what is held, minute by minute."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=30)
    arguments.add_argument("--rate", type=float, default=40, help="requests a second")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'minute':>6} {'memory MiB':>10} {'files':>6} {'threads':>8} {'objects':>9}")
        for at, each in enumerate(watched(pathlib.Path(folder), options.minutes, options.rate), 1):
            if at % 6 == 0:
                row = f"{at // 6:6} {each.memory / 2**20:10.1f} {each.files:6} {each.threads:8} {each.objects:9}"
                print(row, flush=True)
        print((pathlib.Path(folder) / "app.log").read_text()[-300:])


if __name__ == "__main__":
    main()
