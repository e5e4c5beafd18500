"""Other people's Flask and SQLAlchemy applications, from PyPI and unmodified: the same pages, and whose they were."""

import contextlib
import html
import itertools
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from tests.backends.processes import Process, free_addresses
from tests.backends.visitor import Visitor
from tests.environments import python_with

Json = dict[str, Any]
COOKIE = "otel_session"
START_TIMEOUT_S = 120.0
VISITORS = ("anna", "jonas", "mira")

# The server and what it needs to start; `mlflow` itself brings half a gigabyte of data science on top.
MLFLOW_SERVER = (
    "mlflow-skinny==3.*",
    "Flask",
    "Flask-CORS",
    "sqlalchemy",
    "alembic",
    "graphene",
    "cryptography",
    "huey",
    "aiohttp",
    "numpy",
    "pandas",
)


@dataclass(frozen=True)
class Visited:
    """An application after some visits: its answers by visitor, what it printed, and its telemetry, if any."""

    visitors: list[Visitor]
    output: str
    store: Path
    python: Path

    def command(self, *words: str) -> Json:
        """What `otel-session` tells about its store."""
        run = [str(self.python.parent / "otel-session"), *words, "--json", "--store", str(self.store)]
        document: Json = json.loads(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
        return document


@contextlib.contextmanager
def running(python: Path, folder: Path, *command: str, **env: str) -> Iterator[tuple[Process, str, Path]]:
    """Start a command in a new folder; give the process, its address, and where its telemetry would go."""
    folder.mkdir()
    (address,) = free_addresses(1)
    words = [word.replace("{port}", address.rpartition(":")[2]) for word in command]
    store = folder / "telemetry.db"
    own = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "OTEL_SESSION_STORE": str(store)}
    with Process(python.parent / words[0], *words[1:], log=folder / "output.txt", env={**own, **env}) as process:
        yield process, f"http://{address}", store


def visit(python: Path, folder: Path, *command: str, path: str, tour: Callable[[Visitor], None], **env: str) -> Visited:
    """Start an application, let the visitors take the same tour at once, and stop it.

    Args:
        python: Of the application's environment.
        folder: Does not exist yet.
        *command: `{port}` stands for the port.
        path: A page that answers when the application is ready; asked without cookies.
        tour: What each visitor does.
        **env: Variables for the application.
    """
    with running(python, folder, *command, **env) as (process, url, store):
        process.wait_until(lambda: _answers(url, path), timeout_s=START_TIMEOUT_S)
        visitors = [Visitor(url, name) for name in VISITORS]
        threads = [threading.Thread(target=tour, args=(each,)) for each in visitors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        process.stop(timeout_s=30)
        return Visited(visitors, process.log.read_text(encoding="utf-8", errors="replace"), store, python)


def _answers(url: str, path: str) -> bool:
    try:
        return Visitor(url).get(path).status < 500
    except OSError:
        return False


def assert_same_pages(plain: Visited, ours: Visited, volatile: str) -> None:
    """The same statuses, bodies and headers with and without us, but for our own and what the pattern says."""
    for before, after in zip(plain.visitors, ours.visitors, strict=True):
        assert len(before.pages) == len(after.pages) > 9
        for was, now in zip(before.pages, after.pages, strict=True):
            assert (was.method, was.path, was.status) == (now.method, now.path, now.status)
            assert _headers(was.headers, volatile) == _headers(now.headers, volatile)
            lines = [re.sub(volatile, "…", page.text).splitlines() for page in (was, now)]
            assert [pair for pair in itertools.zip_longest(*lines) if pair[0] != pair[1]] == [], was.path
            assert "X-Correlation-ID" not in was.headers


def _headers(headers: Message, volatile: str) -> list[tuple[str, str]]:
    shown = []
    for name, value in headers.items():
        if name.lower() in ("date", "x-correlation-id") or value.startswith(f"{COOKIE}="):
            continue
        # The application's own signed cookie has the time in it; and how long a page is, depends on what is volatile.
        known = re.sub(r"^session=[^;]*|Expires=[^;]*", "…", re.sub(volatile, "…", value))
        shown.append((name.lower(), "…" if name.lower() in ("content-length", "etag") else known))
    return sorted(shown)


def assert_sessions(ours: Visited, server_scope: str) -> list[Json]:
    """Each visitor is one session with exactly its requests; queries lie under requests. Give the sessions' trees."""
    listed = ours.command("sessions")["sessions"]
    assert len(listed) == len(ours.visitors)
    trees = [ours.command("show", each["session_id"]) for each in listed]
    for visitor in ours.visitors:
        asked = sorted((page.method, page.path, page.status, page.correlation_id) for page in visitor.pages)
        [(session, tree)] = [
            (each, shown)
            for each, shown in zip(listed, trees, strict=True)
            if any(request["correlation_id"] == asked[0][3] for request in shown["requests"])
        ]
        assert sorted(map(_request, tree["requests"])) == asked
        assert session["requests"] == len(asked)
        assert session["statements"] == sum(node["statement"] for root in tree["requests"] for node in _nodes(root)) > 9
        assert {root["scope"] for root in tree["requests"]} == {server_scope}
        assert all(
            node["attributes"]["session.id"] == session["session_id"]
            for root in tree["requests"]
            for node in _nodes(root)
        )
        assert len(visitor.cookies(COOKIE)) == 1
    return trees


def _request(root: Json) -> tuple[str, str, int, str]:
    assert root["request"], root["name"]
    attributes = root["attributes"]
    path = attributes.get("url.path") or attributes.get("http.target")
    return root["method"], str(path), root["status_code"], root["correlation_id"]


def _nodes(root: Json) -> Iterator[Json]:
    yield root
    for child in root["children"]:
        yield from _nodes(child)


def assert_unnoticed(visited: Visited) -> None:
    """Nothing of ours or of OpenTelemetry's was said, and nothing went wrong."""
    said = [re.sub(r"/\S+", "", line) for line in visited.output.splitlines()]  # our name is in paths
    assert [line for line in said if re.search(r"Traceback|detach|otel|opentelemetry", line, re.IGNORECASE)] == []


@pytest.fixture(scope="module")
def ihatemoney() -> Path:
    """Flask-SQLAlchemy, Flask-Migrate, Flask-RESTful, Flask-Limiter, Flask-Talisman, SQLAlchemy-Continuum."""
    return python_with("ihatemoney", "setuptools", extras="flask,sqlalchemy")


def _share_expenses(visitor: Visitor) -> None:
    """Make a project, add people and bills, look at everything, mistype an address, leave."""
    project = f"trip-{visitor.name}"

    def send(path: str, form: Mapping[str, str]) -> None:
        page = visitor.get(path).text
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        people = re.findall(r'<option value="(\d+)">', page)
        assert token is not None, path
        known = {key: people[0] if value == "PERSON" else value for key, value in form.items()}
        assert visitor.post(path, {"csrf_token": html.unescape(token[1]), **known}).status == 302, path

    visitor.get("/")
    currency = {"default_currency": "XXX"}
    about = {"name": project, "id": project, "password": "secret", "contact_email": "anna@example.com", **currency}
    send("/create", about)
    for person in ("Ada", "Bob"):
        send(f"/{project}/members/add", {"name": person})
    bill = {"what": "Dinner", "amount": "30", "date": "2026-01-31", "payer": "PERSON", "payed_for": "PERSON"}
    send(f"/{project}/add", bill)
    for page in ("", "settle_bills", "statistics", "history", "edit", "export/bills.json"):
        visitor.get(f"/{project}/{page}")
    visitor.get("/nowhere/at/all")
    visitor.get(f"/api/projects/{project}")
    visitor.get("/exit")


def test_ihatemoney(ihatemoney: Path, tmp_path: Path) -> None:
    """ihatemoney, started with `opentelemetry-instrument`, works as before; its sessions are the browsers'."""
    flask = ("flask", "--app", "ihatemoney.wsgi", "run", "--port", "{port}")
    settings = tmp_path / "ihatemoney.cfg"
    env = {"IHATEMONEY_SETTINGS_FILE_PATH": str(settings)}

    def visited(name: str, *before: str) -> Visited:
        settings.write_text(
            f"SECRET_KEY = 'a key for this test'\nSQLALCHEMY_DATABASE_URI = 'sqlite:///{tmp_path / name}.db'\n"
            "SESSION_COOKIE_SECURE = False\n"
        )
        return visit(ihatemoney, tmp_path / name, *before, *flask, path="/healthcheck", tour=_share_expenses, **env)

    plain = visited("plain")
    ours = visited("ours", "opentelemetry-instrument")
    assert_same_pages(plain, ours, volatile=r"[\w.-]{50,}|\d+")
    assert_sessions(ours, "otel_session.flask")
    assert_unnoticed(ours)


def _track(visitor: Visitor) -> None:
    """An experiment, a run, a metric; then what is there, what is not there, and what is nonsense."""

    def send(path: str, document: object) -> Json:
        page = visitor.post(path, json.dumps(document).encode(), **{"Content-Type": "application/json"})
        answer: Json = json.loads(page.body)
        return answer

    api = "/api/2.0/mlflow"
    visitor.get("/version")
    experiment = send(f"{api}/experiments/create", {"name": f"wine-{visitor.name}"})["experiment_id"]
    run = send(f"{api}/runs/create", {"experiment_id": experiment, "start_time": 1})["run"]["info"]["run_id"]
    send(f"{api}/runs/log-metric", {"run_id": run, "key": "rmse", "value": 0.7, "timestamp": 1, "step": 1})
    send(f"{api}/runs/log-parameter", {"run_id": run, "key": "depth", "value": "3"})
    send(f"{api}/runs/search", {"experiment_ids": [experiment]})
    send(f"{api}/runs/update", {"run_id": run, "status": "FINISHED", "end_time": 2})
    visitor.get(f"{api}/runs/get?run_id={run}")
    visitor.get(f"{api}/experiments/get?experiment_id={experiment}")
    visitor.get(f"{api}/experiments/get?experiment_id=404404")
    visitor.post(f"{api}/runs/create", b"{nonsense", **{"Content-Type": "application/json"})
    visitor.get("/nowhere")


MLFLOW = ("mlflow", "server", "--port", "{port}", "--workers", "1", "--backend-store-uri", "sqlite:///mlflow.db")
MLFLOW_ENV = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
MLFLOW_VOLATILE = r"\b[0-9a-f]{32}\b|\b\d{13}\b|experiment_id\W+\d+|mlflow-artifacts:/\d+|[a-z]+-[a-z]+-\d+|/\S+/mlruns"


def _visit_mlflow(python: Path, folder: Path, *before: str, **env: str) -> Visited:
    return visit(python, folder, *before, *MLFLOW, path="/health", tour=_track, **MLFLOW_ENV, **env)


def test_mlflow(tmp_path: Path) -> None:
    """MLflow's server, started with `otel-session run`, works as before, and the server spans are ours."""
    python = python_with(*MLFLOW_SERVER, "fastapi==0.120.*", extras="flask,sqlalchemy")
    plain = _visit_mlflow(python, tmp_path / "plain")
    ours = _visit_mlflow(python, tmp_path / "ours", "otel-session", "run", "--")
    assert_same_pages(plain, ours, MLFLOW_VOLATILE)
    trees = assert_sessions(ours, "otel_session.flask")
    assert {root["kind"] for tree in trees for root in tree["requests"]} == {"SERVER"}
    assert_unnoticed(ours)


@pytest.fixture(scope="module")
def mlflow() -> Path:
    """The same with a FastAPI that makes spans itself, and with the official instrumentation, which then does."""
    return python_with(*MLFLOW_SERVER, "opentelemetry-instrumentation-fastapi>=0.66b0", extras="flask,sqlalchemy")


@pytest.fixture(scope="module")
def plain_mlflow(mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> Visited:
    """Visits to that server without us."""
    return _visit_mlflow(mlflow, tmp_path_factory.mktemp("mlflow") / "plain")


@pytest.mark.parametrize("scope", ["fastapi", "opentelemetry.instrumentation.fastapi"])
def test_mlflow_under_fastapi(mlflow: Path, plain_mlflow: Visited, tmp_path: Path, scope: str) -> None:
    """Where FastAPI or its official instrumentation makes the server span, ours is INTERNAL below it, ids on both."""
    env = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "fastapi"} if scope == "fastapi" else {}
    ours = _visit_mlflow(mlflow, tmp_path / "ours", "opentelemetry-instrument", **env)
    assert_same_pages(plain_mlflow, ours, MLFLOW_VOLATILE)
    trees = assert_sessions(ours, scope)
    roots = [root for tree in trees for root in tree["requests"]]
    for root in roots:
        assert [node["kind"] for node in _nodes(root) if node["kind"] == "SERVER"] == [root["kind"]]
        assert [node["kind"] for node in _nodes(root) if node["scope"] == "otel_session.flask"] == ["INTERNAL"]
    assert_unnoticed(ours)
