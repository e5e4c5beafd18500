"""The example app, unmodified, as `opentelemetry-instrument` starts it, and five browsers that visit it at once."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.backends.processes import REPOSITORY
from tests.backends.visitor import Visitor
from tests.started import Started, started

APP = REPOSITORY / "examples" / "flask_app"
COMMAND = ("opentelemetry-instrument", "flask", "--app", "app", "run", "--port", "{port}")
BRANCH = "shown-in-jaeger"

# What visitors type. None of it may turn up in any signal.
PASSWORD = "marker-password-" + secrets.token_hex(6)
EMAIL = "marker-email-" + secrets.token_hex(6)
NOTE = "marker-note-" + secrets.token_hex(6)
TITLE = "marker-title-" + secrets.token_hex(6)
TYPED = (PASSWORD, EMAIL, NOTE, TITLE)

# Path, or the name of a form. Each visit starts with the sign-in.
VISITS = {
    "anna": ["/", "/deals", "/deals/1", "/deals/2", "/reports/slow"],
    "jonas": ["wrong password", "/deals", "/deals/3", "/reports/broken", "/deals/3", "/nowhere"],
    "mira": ["/deals", "new deal", "/deals", "/export.csv"],
    "samir": ["/deals", "/deals/5", "note", "empty note", "/deals/999"],
    "lena": ["/deals", "/deals/7", "/deals/8", "/export.csv", "sign out"],
}
FORMS = {
    "wrong password": ("/login", {"email": f"{EMAIL}@example.com", "password": PASSWORD}),
    "new deal": ("/deals/new", {"title": TITLE, "client": "Port of Kiel", "value": "48000"}),
    "note": ("/deals/5/notes", {"body": NOTE}),
    "empty note": ("/deals/5/notes", {"body": ""}),
    "sign out": ("/logout", {}),
}


@dataclass(frozen=True)
class Deals:
    """The running app; `commit` is that of the repository it stands in."""

    app: Started
    commit: str


@contextlib.contextmanager
def run_deals(python: Path, folder: Path, **env: str) -> Iterator[Deals]:
    """Start a copy of the example app in a repository of its own, with this environment's programs.

    Args:
        python: Of an environment that has Flask, SQLAlchemy and otel-session.
        folder: Where the copy, its database and its log go.
        **env: Further variables.
    """
    copy = folder / "app"
    shutil.copytree(APP, copy, ignore=shutil.ignore_patterns("__pycache__", "instance", "tests", "demo*"))
    commit = _commit(copy)
    database = {"DEALS_DATABASE_URL": f"sqlite:///{folder / 'deals.sqlite'}"}
    keeping = {"DEALS_SESSION_FILE_DIR": str(folder / "sessions")}
    with started(python, copy, *COMMAND, port=0, **{**database, **keeping, **env}) as app:
        yield Deals(app, commit)


def visit_at_once(url: str) -> list[Visitor]:
    """Let the five visit at the same time; return them when all have left. Lena's browser begins its own traces."""
    visitors = [Visitor(url, name, traces=name == "lena") for name in VISITS]
    together = threading.Barrier(len(visitors))
    errors: list[BaseException] = []

    def visit(visitor: Visitor) -> None:
        try:
            together.wait(10)
            _visit(visitor)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=visit, args=(each,)) for each in visitors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    time.sleep(0.5)  # the scores are worked out after the responses
    return visitors


def _visit(visitor: Visitor) -> None:
    visitor.get("/login")
    visitor.post("/login", {"email": f"{visitor.name}@example.com", "password": "demo"})
    for step in VISITS[visitor.name]:
        if step in FORMS:
            path, form = FORMS[step]
            visitor.post(path, form)
        else:
            visitor.get(step)


def _commit(folder: Path) -> str:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=Anna", "-c", "user.email=anna@example.com")
        command = ["git", *who, *arguments]
        env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        return subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q", "-b", BRANCH)
    git("add", "-A")
    git("commit", "-q", "-m", "As shipped")
    return git("rev-parse", "HEAD")
