"""Servers with many processes, and processes that fork: every request once, no metric twice, an end without a wait."""

import os
import pathlib
import signal
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.environments import python_with
from tests.pipeline.far_end import CONNECT, EARLY, Served, far_end
from tests.pipeline.made import wait_until
from tests.started import Started, environ_for, flask_folder, started

REQUESTS = 200
WORKERS = 4
WRAPPED = "opentelemetry-instrument"
APP = """
import multiprocessing, os, sys, threading, time
from flask import Flask
from sqlalchemy import create_engine, text

app = Flask(__name__)
engine = create_engine("sqlite:///deals.db")

@app.get("/pid")
def pid():
    with engine.connect() as connection:
        connection.execute(text("SELECT count(*) FROM deals"))
    time.sleep(0.005)
    return str(os.getpid())
"""
STARTED_EARLY = """
from opentelemetry import trace
trace.get_tracer("early").start_span("before the fork").end()
pid_of_master = os.getpid()
"""


@pytest.fixture(scope="session")
def python() -> pathlib.Path:
    return python_with("gunicorn", "gevent", extras="flask,sqlalchemy,otlp,otlp-grpc")


@pytest.fixture(params=["http/protobuf", "grpc"])
def end(request: pytest.FixtureRequest) -> Iterator[Served]:
    with far_end("grpc" if request.param == "grpc" else "http") as found:
        found.said = request.param  # type: ignore[attr-defined]
        yield found


def variables(end: Served) -> dict[str, str]:
    said: str = end.said  # type: ignore[attr-defined]
    proxy = {"https_proxy": "http://127.0.0.1:9"} if said == "requests" else {}  # of another scheme, yet for requests
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": end.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf" if said == "requests" else said,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_METRIC_EXPORT_INTERVAL": "700",
        **proxy,
    }


def visit(app: Started, count: int = REQUESTS) -> Counter[str]:
    """Ask from eight threads; how often each process answered."""

    def ask(_: int) -> str:
        with urllib.request.urlopen(f"{app.url}/pid", timeout=30) as answer:
            return str(answer.read().decode())

    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(ask, range(count)))


def visit_all(app: Started) -> Counter[str]:
    """The same, until every worker has answered: gunicorn waits in vain for one that is told to end while it begins."""
    pids = visit(app)
    wait_until(lambda: len(pids) == WORKERS or pids.update(visit(app, 8)))
    return pids


def counted(end: Served, metric: str = "db.client.operation.duration") -> int:
    """The last value of a histogram's count, or of a counter, from each process, added up."""
    last: dict[str, int] = {}
    for of in end.metrics:
        instance = next(a.value.string_value for a in of.resource.attributes if a.key == "service.instance.id")
        for scope in of.scope_metrics:
            for found in scope.metrics:
                if found.name == metric:
                    last[instance] = sum(point.count for point in found.histogram.data_points)
                    last[instance] += sum(point.as_int for point in found.sum.data_points)
    return sum(last.values())


def assert_all_there(end: Served, pids: Counter[str]) -> None:
    """Each request and statement once, one instance a process with as many spans as it answered, metrics right."""
    count = sum(pids.values())
    assert end.names["GET /pid"] == count
    assert end.names["SELECT deals"] == count
    assert len(pids) <= end.names[CONNECT] <= count
    spans = {instance: number for instance, number in end.instances.items() if number}
    assert sorted(spans.values()) == sorted(2 * answered for answered in pids.values())
    assert counted(end) == count


def stop(app: Started, number: int = signal.SIGTERM) -> float:
    """Stop it; how long that took, in seconds."""
    started_s = time.monotonic()
    app.stop(number)
    return time.monotonic() - started_s


GUNICORN = ("gunicorn", "app:app", "--workers", str(WORKERS), "--bind", "127.0.0.1:{port}", "--graceful-timeout", "10")


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
@pytest.mark.parametrize("kind", ["sync", "gthread", "gevent"])
def test_gunicorn(
    python: pathlib.Path, tmp_path: pathlib.Path, end: Served, kind: str, preload: tuple[str, ...]
) -> None:
    """Four workers of each kind, loaded before the fork or after: all is there, and the end is no wait."""
    folder = flask_folder(tmp_path, APP + STARTED_EARLY)
    threads = ("--threads", "4") if kind == "gthread" else ()
    command = (WRAPPED, *GUNICORN, "--worker-class", kind, *threads, *preload)
    with started(python, folder, *command, **variables(end)) as app:
        pids = visit_all(app)
        took_s = stop(app)
        written = app.written()
    assert took_s < 8, written  # it takes one; the machine may be busy
    # Only the SDK's own reader thread, begun before gevent replaced threads, ends with an error on the console.
    assert "Thread(otel_session" not in written
    assert written.count("Traceback") in ((0, 4) if kind == "gevent" else (0,)), written
    early = end.names[EARLY]  # twice only where the fork cost gRPC an answer, and that is counted
    assert 0 <= early - (1 if preload else WORKERS) <= counted(end, "otel_session.exporter.resent"), written
    assert_all_there(end, pids)


@pytest.mark.parametrize("kind", ["sync", "gthread", "gevent"])
def test_gunicorn_without_a_far_end(python: pathlib.Path, tmp_path: pathlib.Path, kind: str) -> None:
    """With nobody listening the workers answer as ever and end in time."""
    folder = flask_folder(tmp_path, APP)
    command = (WRAPPED, *GUNICORN, "--worker-class", kind)
    with far_end(up=False) as end:
        end.said = "http/protobuf"  # type: ignore[attr-defined]
        with started(python, folder, *command, **variables(end)) as app:
            assert sum(visit_all(app).values()) >= REQUESTS
            assert stop(app) < 8


def test_reloader(python: pathlib.Path, tmp_path: pathlib.Path, end: Served) -> None:
    """`flask run --debug`: the process that serves is instrumented once, and its spans leave before each reload."""
    folder = flask_folder(tmp_path, APP)
    command = (WRAPPED, "flask", "--app", "app", "run", "--debug", "--port", "{port}")
    with started(python, folder, *command, **variables(end)) as app:
        first = visit(app, 20)
        (folder / "app.py").write_text(APP + "\n# changed\n")
        answered = first.copy()
        wait_until(lambda: not answered.update(_asked(app)) and set(answered) > set(first), 30)
        answered += visit(app, 20)
        # Not at its end: told to end, the reloader's parent kills the process that serves (`subprocess.call`).
        wait_until(lambda: counted(end) == sum(answered.values()))
    assert len(answered) == 2
    assert_all_there(end, answered)


def _asked(app: Started) -> Counter[str]:
    """Ask once; nothing while it starts anew."""
    time.sleep(0.1)
    try:
        return visit(app, 1)
    except OSError:
        return Counter()


FORKS = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from opentelemetry import metrics, trace
import otel_session
from otel_session.instruments import Measured
from otel_session.tallies import Metric

if __name__ == "__main__":
    otel_session.instrument()
measured = Measured(Metric("tests", "work.duration", "s", "", (1.0,)))

def work(name):
    trace.get_tracer("tests").start_span(name).end()
    measured.series({}).add(0.5)

def main(how):
    work("parent")
    time.sleep(0.3)
    if how == "fork":
        for number in range(4):
            if os.fork() == 0:
                work(f"child {number}")
                sys.exit(0)
        for _ in range(4):
            os.wait()
    elif how == "pool":
        with ProcessPoolExecutor(4, multiprocessing.get_context("fork")) as pool:
            list(pool.map(work, [f"child {number}" for number in range(4)]))
    else:
        context = multiprocessing.get_context("fork")
        made = [context.Process(target=work, args=(f"child {number}",)) for number in range(4)]
        for each in made:
            each.start()
        for each in made:
            each.join()
    work("parent again")

if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.mark.parametrize("how", ["fork", "pool", "process"])
@pytest.mark.parametrize("end", ["http/protobuf", "requests", "grpc"], indirect=True)
def test_forks(python: pathlib.Path, tmp_path: pathlib.Path, end: Served, how: str) -> None:
    """Children of `os.fork` and `multiprocessing` deliver what is theirs, once, under an instance id of their own."""
    program = tmp_path / "program.py"
    program.write_text(FORKS)
    environ = environ_for(python, **variables(end))
    started_s = time.monotonic()
    done = subprocess.run([python, program, how], env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert end.names == {"parent": 1, "parent again": 1, **{f"child {number}": 1 for number in range(4)}}
    spans = sorted(end.instances.values())
    assert spans[-1] == 2 or how == "pool"  # a pool may give one worker more than one task
    assert len(spans) == 5 or how == "pool"
    assert counted(end, "work.duration") == 6
    assert time.monotonic() - started_s < 20


def test_uwsgi(tmp_path: pathlib.Path) -> None:
    """UWSGI forks in C, and Python is not told: all is there all the same."""
    python = _with_uwsgi()
    folder = flask_folder(tmp_path, APP)
    options = ("--master", "--processes", "4", "--enable-threads", "--die-on-term", "--http-socket", "127.0.0.1:{port}")
    (folder / "wsgi.py").write_text("import otel_session\notel_session.instrument()\nfrom app import app\n")
    with far_end() as end:
        end.said = "http/protobuf"  # type: ignore[attr-defined]
        with started(
            python,
            folder,
            "uwsgi",
            *options,
            "--module",
            "wsgi:app",
            "--home",
            str(python.parent.parent),
            **variables(end),
        ) as app:
            pids = visit(app)
            time.sleep(1)
            took_s = stop(app)
            written = app.written()
        assert len(pids) > 1, written
        assert_all_there(end, pids)
    assert took_s < 6


def _with_uwsgi() -> pathlib.Path:
    try:
        return python_with("uwsgi", extras="flask,sqlalchemy,otlp")
    except RuntimeError as error:
        if os.environ.get("OTEL_SESSION_REQUIRE_BACKENDS") == "1":
            raise
        pytest.skip(f"uWSGI does not build here: {str(error)[-200:]}")
