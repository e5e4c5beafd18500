"""The main job, end to end: five browsers on the unmodified app, then who they were and what one of them did.

Starts the app with `opentelemetry-instrument`, nothing else installed, so telemetry goes into a local file. Checks
that requests, failures and statements of each session equal those counted by the clients and by SQLite itself.

Exits with 0 when all of it holds.
"""

import http.cookiejar
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
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(sys.executable).parent

VISITS = {
    "anna": ["/", "/deals", "/deals/1", "/deals/2", "/reports/slow"],
    "jonas": ["/deals", "/deals/3", "/reports/broken", "/deals/3"],
    "mira": ["/deals", "+/deals/new", "/deals", "/export.csv"],
    "samir": ["/deals", "/deals/5", "+/deals/5/notes", "/deals/999"],
    "lena": ["/deals", "/deals/7", "/deals/8", "/export.csv", "/logout!"],
}
FORMS = {
    "+/deals/new": {"title": "Harbour lighting", "client": "Port of Kiel", "value": "48000"},
    "+/deals/5/notes": {"body": "They want the offer by Friday."},
}


class Browser:
    """A client with a cookie jar that counts what it does."""

    def __init__(self, name: str, base: str) -> None:
        self.name, self.base = name, base
        self.requests = self.failures = 0
        self.correlation_ids: set[str] = set()
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._open = urllib.request.build_opener(jar, _NoRedirect()).open

    def visit(self) -> None:
        self.get("/login")
        self.get("/login", {"email": f"{self.name}@example.com", "password": "demo"})
        for page in VISITS[self.name]:
            form = FORMS.get(page, {} if page.endswith("!") else None)
            self.get(page.strip("+!"), form)

    def get(self, path: str, form: dict[str, str] | None = None) -> None:
        data = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(self.base + path, data, {"X-Demo-Client": self.name})
        try:
            response = self._open(request, timeout=30)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            response.read()
            self.requests += 1
            self.failures += response.status >= 500
            self.correlation_ids.add(response.headers["X-Correlation-ID"])


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:  # each visit counts its own requests
        return None


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="otel-session-demo-") as folder:
        store, counted = os.path.join(folder, "telemetry.db"), os.path.join(folder, "statements.txt")
        browsers = drive(folder, store, counted)
        sent = Counter(pathlib.Path(counted).read_text().split())
        return report(browsers, sent, store)


def drive(folder: str, store: str, counted: str) -> list[Browser]:
    """Start the app, let five browsers visit it at once, stop it."""
    port = free_port()
    server = start(folder, store, counted, port)
    try:
        wait_until_up(server, port)
        browsers = [Browser(name, f"http://127.0.0.1:{port}") for name in VISITS]
        threads = [threading.Thread(target=b.visit) for b in browsers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(1)  # the scores are worked out after the responses
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)
    return browsers


def start(folder: str, store: str, counted: str, port: int) -> "subprocess.Popen[bytes]":
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environment |= {
        "OTEL_SERVICE_NAME": "deals",
        "OTEL_SESSION_STORE": store,
        "DEALS_DATABASE_URL": f"sqlite:///{folder}/deals.sqlite",
        "DEMO_COUNT_FILE": counted,
    }
    command = [str(BIN / "opentelemetry-instrument"), str(BIN / "flask"), "--app", "demo_counted", "run"]
    print("$ opentelemetry-instrument flask --app app run")
    log = open(os.path.join(folder, "server.log"), "wb")  # noqa: SIM115 - the server's for its whole life
    return subprocess.Popen([*command, "--port", str(port)], cwd=HERE, env=environment, stdout=log, stderr=log)


def wait_until_up(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit("The app did not start.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def report(browsers: list[Browser], sent: Counter[str], store: str) -> int:
    """Print the sessions and one of them, and compare the counts."""
    listed = json.loads(command("sessions", "--json", store=store))["sessions"]
    shown = {s["session_id"]: json.loads(command("show", s["session_id"], "--json", store=store)) for s in listed}
    print(command("sessions", store=store))
    wrong = [] if len(listed) == len(browsers) else [f"{len(listed)} sessions, expected {len(browsers)}"]
    for browser in browsers:
        wrong += compare(browser, sent[browser.name], listed, shown)
    broken = next((s["session_id"] for s in listed if s["failed_requests"]), None)
    if broken is None:
        wrong.append("no session shows the failed page")
    else:
        print(command("show", broken, store=store))
    print("\n".join(f"WRONG: {line}" for line in wrong) or "All counts agree with the clients' and with SQLite's.")
    return 1 if wrong else 0


def compare(browser: Browser, statements: int, listed: list[dict], shown: dict[str, dict]) -> list[str]:
    mine = [s for s in listed if browser.correlation_ids & correlation_ids(shown[s["session_id"]])]
    if len(mine) != 1:
        return [f"{browser.name} has {len(mine)} sessions, expected one"]
    session = mine[0]
    wanted = {"requests": browser.requests, "failed_requests": browser.failures, "statements": statements}
    wrong = [
        f"{browser.name}: {session[what]} {what}, expected {count}"
        for what, count in wanted.items()
        if session[what] != count
    ]
    if correlation_ids(shown[session["session_id"]]) != browser.correlation_ids:
        wrong.append(f"{browser.name}: other correlation ids than the client received")
    if not session["log_lines"]:
        wrong.append(f"{browser.name}: no log lines")
    return wrong


def correlation_ids(shown: dict) -> set[str]:
    return {r["correlation_id"] for r in shown["requests"] if r.get("correlation_id")}


def command(*words: str, store: str) -> str:
    run = [str(BIN / "otel-session"), *words, "--store", store]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
