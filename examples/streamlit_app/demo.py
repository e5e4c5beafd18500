"""The main job, end to end: three browsers on the unmodified app, then who they were and what one of them did.

Starts the app with `opentelemetry-instrument`, nothing else installed, so telemetry goes into a local file. The
browsers are clients that speak Streamlit's websocket. Checks that reruns, failures and statements of each session
equal those counted by the clients and by SQLite itself.

Exits with 0 when all of it holds.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter

from hours.seed import fill_if_empty
from sqlalchemy import create_engine

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(sys.executable).parent
sys.path.insert(0, str(HERE.parent.parent))

from tests.streamlit_client import Browser, Tab  # noqa: E402 - of this repository, found only now


class Visitor:
    """Somebody with a browser, who counts what it does."""

    def __init__(self, name: str, base: str) -> None:
        self.name = name
        self.browser = Browser(base)
        self.tabs: list[Tab] = []
        self.failures = 0
        self.session_id = ""
        self.error: BaseException | None = None

    def open(self) -> Tab:
        self.tabs.append(self.browser.open())
        return self.tabs[-1]

    @property
    def reruns(self) -> int:
        return sum(tab.runs for tab in self.tabs)

    def visit(self) -> None:
        try:
            VISITS[self.name](self)
            self.tabs[-1].go("This visit")
            self.session_id = next(self.tabs[-1].elements("code")).code_text
        except BaseException as error:
            self.error = error
        finally:
            for tab in self.tabs:
                tab.close()


def book_hours(visitor: Visitor) -> None:
    """A form, a callback, and back to the overview by `st.switch_page`."""
    tab = visitor.open()
    tab.set("billable", True)
    tab.go("Book hours")
    tab.set("who", "Mira Novak")
    tab.set("note", "Night shift")
    tab.click("book")
    newest = next(button.id.rpartition("-")[2] for button in tab.elements("button") if "-back-" in button.id)
    tab.click(f"back-{newest}")
    tab.click("to-overview")


def read_reports(visitor: Visitor) -> None:
    """A slow report and a broken one."""
    tab = visitor.open()
    tab.go("Reports")
    tab.click("utilisation")
    tab.click("average")
    visitor.failures = len(list(tab.elements("exception")))


def look_on(visitor: Visitor) -> None:
    """A fragment by its timer and by its button, a refresh and a second tab: one session."""
    tab = visitor.open()
    tab.tick()
    tab.click("look-again")
    visitor.tabs.append(tab.refresh())
    visitor.open().go("Reports")


VISITS = {"mira": book_hours, "samir": read_reports, "lena": look_on}


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="otel-session-demo-") as folder:
        fill(folder)
        store, counted = os.path.join(folder, "telemetry.db"), os.path.join(folder, "statements.txt")
        visitors = drive(folder, store, counted)
        sent = Counter(pathlib.Path(counted).read_text().split())
        return report(visitors, sent, store)


def fill(folder: str) -> None:
    """Make the database beforehand: filling it is nobody's visit."""
    engine = create_engine(f"sqlite:///{folder}/hours.sqlite")
    fill_if_empty(engine)
    engine.dispose()


def drive(folder: str, store: str, counted: str) -> list[Visitor]:
    """Start the app, let the browsers visit it at once, stop it."""
    port = free_port()
    server = start(folder, store, counted, port)
    try:
        wait_until_up(server, port)
        visitors = [Visitor(name, f"http://127.0.0.1:{port}") for name in VISITS]
        threads = [threading.Thread(target=visitor.visit) for visitor in visitors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)
    for visitor in visitors:
        if visitor.error is not None:
            raise visitor.error
    return visitors


def start(folder: str, store: str, counted: str, port: int) -> "subprocess.Popen[bytes]":
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environment |= {
        "OTEL_SERVICE_NAME": "hours",
        "OTEL_SESSION_STORE": store,
        "HOURS_DATABASE_URL": f"sqlite:///{folder}/hours.sqlite",
        "DEMO_COUNT_FILE": counted,
    }
    command = [str(BIN / "opentelemetry-instrument"), str(BIN / "streamlit"), "run", "demo_counted.py"]
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    print("$ opentelemetry-instrument streamlit run app.py")
    log = open(os.path.join(folder, "server.log"), "wb")  # noqa: SIM115 - the server's for its whole life
    return subprocess.Popen([*command, *options], cwd=HERE, env=environment, stdout=log, stderr=log)


def wait_until_up(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit("The app did not start.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def report(visitors: list[Visitor], sent: Counter[str], store: str) -> int:
    """Print the sessions and one of them, and compare the counts."""
    listed = {
        session["session_id"]: session for session in json.loads(command("sessions", "--json", store=store))["sessions"]
    }
    print(command("sessions", store=store))
    wrong = [] if len(listed) == len(visitors) else [f"{len(listed)} sessions, expected {len(visitors)}"]
    for visitor in visitors:
        statements = sum(sent[tab.app_session_id] for tab in visitor.tabs)
        wanted = {"requests": visitor.reruns, "failed_requests": visitor.failures, "statements": statements}
        found = listed.get(visitor.session_id)
        wrong += compare(visitor.name, wanted, found)
    broken = next(visitor.session_id for visitor in visitors if visitor.failures)
    print(command("show", broken, store=store))
    print("\n".join(f"WRONG: {line}" for line in wrong) or "All counts agree with the clients' and with SQLite's.")
    return 1 if wrong else 0


def compare(name: str, wanted: dict[str, int], found: dict | None) -> list[str]:
    if found is None:
        return [f"{name}'s session is not among them"]
    return [f"{name}: {found[what]} {what}, expected {count}" for what, count in wanted.items() if found[what] != count]


def command(*words: str, store: str) -> str:
    run = [str(BIN / "otel-session"), *words, "--store", store]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
