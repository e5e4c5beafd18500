"""Starting: as a command, and twice on one database."""

import ast
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from hours.models import Booking, Person, Project
from hours.seed import fill_if_empty
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

FOLDER = Path(__file__).resolve().parent.parent
TELEMETRY_PAGE = FOLDER / "views" / "visit.py"


def test_seeded_once(engine: Engine) -> None:
    """Starting again on the same file adds nothing."""
    for _ in range(2):
        fill_if_empty(engine)
        with Session(engine) as db:
            counts = [db.scalars(select(func.count(model.id))).one() for model in (Person, Project, Booking)]
        assert counts == [5, 7, 489]


def test_starts_as_a_streamlit_command(tmp_path: Path) -> None:
    """``streamlit run …/app.py`` serves the app from any folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    command = [sys.executable, "-m", "streamlit", "run", str(FOLDER / "app.py"), *options]
    environment = os.environ | {"HOURS_DATABASE_URL": f"sqlite:///{tmp_path / 'named.sqlite'}"}
    server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert _answer(f"http://127.0.0.1:{port}/_stcore/health") == "ok"
        assert "<title>Streamlit</title>" in _answer(f"http://127.0.0.1:{port}/book")
    finally:
        server.terminate()
        server.communicate(timeout=30)


def _answer(url: str) -> str:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                body: str = response.read().decode()
                return body
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_knows_nothing_of_telemetry() -> None:
    """Only the page about the visit imports otel_session; the others Streamlit, SQLAlchemy, pandas, the library."""
    files = [FOLDER / "app.py", *(FOLDER / "hours").rglob("*.py"), *(FOLDER / "views").rglob("*.py")]
    others = set().union(*(_imported(file) for file in files if file != TELEMETRY_PAGE))
    assert others - set(sys.stdlib_module_names) - {"hours"} == {"streamlit", "sqlalchemy", "pandas"}
    assert _imported(TELEMETRY_PAGE) == {"streamlit", "otel_session"}


def _imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found
