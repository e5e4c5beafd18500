r"""One user's lines: `grep '\[a1b2c3d4\]'` on the example's log gives all of them, and nobody else's."""

import pathlib
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse
from collections import Counter

import pytest

from tests.started import Browser, Started, started

PYTHON = pathlib.Path(sys.executable)
EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "flask_app"
COMMAND = ("opentelemetry-instrument", "flask", "--app", "app", "run", "--port", "{port}")
ROUNDS = 5
OPENER_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class User(Browser):
    """A browser whose user leaves traces of their own in the log: deals and addresses that nobody else asks for."""

    def __init__(self, url: str, name: str, deals: range) -> None:
        super().__init__(url)
        self.name, self.deals = name, deals
        self.paths: list[str] = []
        self.wanted: Counter[str] = Counter()

    def ask(self, path: str, form: dict[str, str] | None = None) -> None:
        """Ask for a page; forms are sent as a browser does, and followed."""
        self.paths.append(path)
        data = None if form is None else urllib.parse.urlencode(form).encode()
        self.get(path, OPENER_FORM if data else None, data)

    def visit(self) -> None:
        """Look around, write notes (helper threads), ask for reports (a background job, an error)."""
        self.ask("/login")
        self.ask("/login", {"email": f"{self.name}@example.com", "password": "demo"})
        self.wanted["signed in"] += 1
        for number in range(ROUNDS):
            self._round(self.deals[number])

    def _round(self, deal: int) -> None:
        self.ask(f"/deals/{deal}/notes", {"body": f"{self.name} called"})
        self.ask(f"/deals/{900 + deal}")
        self.ask("/reports/monthly", {"go": "1"})
        self.ask("/reports/broken")
        self.wanted += Counter(
            {
                f"added a note to deal {deal}": 1,
                f"deal {deal} scores": 1,
                f"no deal {900 + deal}": 1,
                "monthly report asked for": 1,
                "monthly report: ": 5,
                "PERF: monthly_report took": 1,
                "averaging day rates": 1,
                "Exception on /reports/broken [GET]": 1,
                "Traceback (most recent call last):": 1,
                "ZeroDivisionError: ": 1,
            }
        )


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """The example, as it stands, somewhere else."""
    kept = shutil.ignore_patterns("instance", "__pycache__", ".mypy_cache", "*.sqlite")
    return pathlib.Path(shutil.copytree(EXAMPLE, tmp_path / "app", ignore=kept))


def visited(app: Started) -> tuple[User, User]:
    """Two users, at once."""
    users = User(app.url, "anna", range(1, 1 + ROUNDS)), User(app.url, "jonas", range(7, 7 + ROUNDS))
    threads = [threading.Thread(target=user.visit) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return users


def grep(short: str, log: pathlib.Path) -> list[str]:
    """What a user of the log types."""
    done = subprocess.run(["grep", rf"\[{short}\]", str(log)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_one_users_lines(folder: pathlib.Path) -> None:
    """Two browsers at once: each line of requests, helper threads and background jobs is found by its user's id."""
    settings = {"OTEL_SESSION_LOG_FORMAT": "prefix", "DEALS_SLOW_REPORT_S": "0"}
    with started(PYTHON, folder, *COMMAND, **settings) as app:
        users = visited(app)
        app.stop()
    everything = app.written().splitlines()
    found = {user.name: grep(user.session_id[:8], app.log) for user in users}
    for user in users:
        lines = found[user.name]
        assert all(line.startswith(f"[{user.session_id[:8]}] ") for line in lines)
        assert not re.search("|".join(_traces(other) for other in users if other is not user), "\n".join(lines))
        seen = Counter({words: sum(words in line for line in lines) for words in user.wanted})
        assert seen == user.wanted
        # Werkzeug colours the lines of errors and redirects.
        asked = Counter(re.findall(r'"(?:\x1b\[[\d;]+m)*(?:GET|POST) (\S+) HTTP', "\n".join(lines)))
        redirects = Counter({"/deals": 1, "/reports/monthly": ROUNDS, **{f"/deals/{deal}": 1 for deal in user.deals}})
        assert asked == Counter(user.paths) + redirects
    mine, others = map(set, found.values())
    assert mine.isdisjoint(others)
    rest = [line for line in everything if line not in mine | others]
    # What Flask prints itself is no log line.
    assert all(line.startswith(("[-] ", " * ")) for line in rest)
    assert len(found["anna"]) + len(found["jonas"]) + len(rest) == len(everything)


def _traces(user: User) -> str:
    """What only this user's lines hold."""
    numbers = "|".join(str(number) for deal in user.deals for number in (deal, 900 + deal))
    return rf"deals?[ /]({numbers})\b"


def test_the_example_knows_nothing_of_it(folder: pathlib.Path) -> None:
    """Its code imports nothing of ours: the prefix comes from outside."""
    for file in folder.rglob("*.py"):
        if "tests" not in file.parts:
            assert not re.search(r"^\s*(import|from) (otel_session|opentelemetry)", file.read_text(), re.MULTILINE), (
                file
            )
