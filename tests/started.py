"""Applications in processes of their own, the browsers that visit them, and what they left in the local store."""

import contextlib
import http.cookiejar
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

from otel_session import visits
from otel_session.store import StoreReader
from otel_session.store.decode import decode_log, decode_span
from otel_session.store.views import LogView, SpanView

START_S = 30
# A worker that is told to end in the moment it is forked, before it has a handler of its own, is never told again.
TWO_WORKERS = ("--workers", "2", "--graceful-timeout", "10")
STOP_S = 20
COOKIE = "otel_session"

FLASK_APP = """
import logging
import threading

from flask import Flask, Response, abort, stream_with_context
from sqlalchemy import create_engine, text

app = Flask(__name__)
engine = create_engine("sqlite:///deals.db")
log = logging.getLogger("deals")
log.setLevel(logging.INFO)
log.addHandler(logging.StreamHandler())


def count():
    with engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM deals WHERE id > :low"), {"low": 0}).scalar_one()


@app.get("/deals")
def deals():
    log.info("%d deals listed", count())
    return "deals"


@app.get("/plain")
def plain():
    return "plain"


@app.get("/gone")
def gone():
    abort(404)


@app.get("/boom")
def boom():
    log.warning("about to fail")
    raise RuntimeError("boom")


@app.get("/stream")
def stream():
    def rows():
        yield str(count())
        log.info("streamed")
        yield "end"

    return Response(stream_with_context(rows()))


@app.get("/helper")
def helper():
    thread = threading.Thread(target=lambda: log.info("%d deals counted by a helper", count()))
    thread.start()
    thread.join()
    return "helped"
"""


def flask_folder(folder: pathlib.Path, source: str = FLASK_APP) -> pathlib.Path:
    """Put an ordinary Flask application with a database into a folder."""
    (folder / "app.py").write_text(source)
    with contextlib.closing(sqlite3.connect(folder / "deals.db")) as database:
        database.execute("CREATE TABLE IF NOT EXISTS deals (id INTEGER PRIMARY KEY, name TEXT)")
        database.execute("INSERT INTO deals (name) VALUES ('first'), ('second')")
        database.commit()
    return folder


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def environ_for(python: pathlib.Path, **variables: str) -> dict[str, str]:
    """An environment with this interpreter's programs first, and nothing of OpenTelemetry's beside what is given."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "PYTHON", "FLASK_", "VIRTUAL_ENV"))}
    return {**kept, "PATH": f"{python.parent}{os.pathsep}{kept['PATH']}", "PYTHONUNBUFFERED": "1", **variables}


@dataclass
class Started:
    """An application that runs and answers on `url`; `stop()` gives what it wrote."""

    process: subprocess.Popen[bytes]
    url: str
    log: pathlib.Path
    store: pathlib.Path

    def written(self) -> str:
        """What it has written to standard output and error so far."""
        return self.log.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM, *, group: bool = False) -> int:
        """End it as an operator does; its exit code, negative for a signal. A terminal tells the whole group."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number) if group else self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def telemetry(self, number: int = signal.SIGTERM) -> "Telemetry":
        """Stop it, and read what is in its store."""
        self.stop(number)
        return Telemetry.read(self.store)


@contextlib.contextmanager
def started(
    python: pathlib.Path, folder: pathlib.Path, *command: str, port: int = 0, **variables: str
) -> Iterator[Started]:
    """Start a command in a folder and wait until it answers; `{port}` in its words is its port.

    Its store is `telemetry.db` in the folder. The whole process group is gone afterwards.
    """
    port = port or free_port()
    store, log = folder / "telemetry.db", folder / "output.txt"
    words = [word.replace("{port}", str(port)) for word in command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(python.parent / words[0]), *words[1:]],
            cwd=folder,
            env=environ_for(python, **{"OTEL_SESSION_STORE": str(store), **variables}),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        found = Started(process, f"http://127.0.0.1:{port}", log, store)
        _wait_until_it_answers(found, port)
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_S)


def _wait_until_it_answers(found: Started, port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if found.process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"the application does not answer; it wrote:\n{found.written()}")


@dataclass(frozen=True)
class Answer:
    """A response: its status, headers and body."""

    status: int
    headers: Message
    body: str

    @property
    def correlation_id(self) -> str | None:
        """The correlation id that came back."""
        return self.headers["X-Correlation-ID"]

    @property
    def cookies(self) -> list[str]:
        """Our Set-Cookie headers."""
        return [c for c in self.headers.get_all("Set-Cookie") or () if c.startswith(f"{COOKIE}=")]


class Browser:
    """A client that keeps its cookies."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.jar = http.cookiejar.CookieJar()
        self.answers: list[Answer] = []
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def get(self, path: str, headers: Mapping[str, str] | None = None, data: bytes | None = None) -> Answer:
        """Ask for a page, errors too; with data, by POST."""
        request = urllib.request.Request(self.url + path, data, headers=dict(headers or {}))
        try:
            response = self._opener.open(request, timeout=30)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            answer = Answer(response.status, response.headers, response.read().decode())
        self.answers.append(answer)
        return answer

    @property
    def session_id(self) -> str:
        """The public id that belongs to the cookie this browser holds."""
        (value,) = [cookie.value for cookie in self.jar if cookie.name == COOKIE]
        visit = visits.parse(value or "", time.time())
        assert visit is not None, value
        return visit.session_id


@dataclass
class Telemetry:
    """All that is in a store: spans and log records by session id, and how many there are in all."""

    spans: dict[str, list[SpanView]] = field(default_factory=dict)
    logs: dict[str, list[LogView]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    metric_names: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, store: pathlib.Path) -> "Telemetry":
        """Read a store with the library's own reader."""
        with StoreReader(store) as reader:
            found = cls(counts=reader.counts(), metric_names={m.name for m in reader.metrics()})
            for session in reader.sessions(limit=10_000, confirmed_only=False):
                found.spans[session.session_id] = [decode_span(r) for r in reader.spans(session.session_id)]
                found.logs[session.session_id] = [decode_log(r) for r in reader.logs(session.session_id)]
        return found

    def names(self, session_id: str) -> list[str]:
        """The names of a session's spans, in order of start."""
        return [span.name for span in self.spans[session_id]]

    def messages(self, session_id: str) -> list[str]:
        """A session's log lines, events and the server's access lines left out."""
        return [log.message for log in self.logs[session_id] if not log.event_name and log.scope != "werkzeug"]

    def requests(self, session_id: str) -> list[SpanView]:
        """A session's server spans."""
        return [span for span in self.spans[session_id] if span.is_request]

    def assert_all_have_a_session(self) -> None:
        """No span and no log record is without a session."""
        assert sum(map(len, self.spans.values())) == self.counts["spans"]
        assert sum(map(len, self.logs.values())) == self.counts["logs"]


def correlation_of(view: Any) -> object:
    """The correlation id on a span or log record."""
    return view.attributes.get("correlation.id")


PAGES = ("/plain", "/deals", "/gone", "/boom", "/stream", "/helper")
MESSAGES = ["2 deals listed", "about to fail", "Exception on /boom [GET]", "streamed", "2 deals counted by a helper"]


def visited(url: str, browsers: int = 2) -> list[Browser]:
    """Browsers that have looked at every page of `FLASK_APP`, in turns."""
    made = [Browser(url) for _ in range(browsers)]
    for path in PAGES:
        for browser in made:
            browser.get(path)
    return made


def assert_session_is_right(telemetry: Telemetry, browser: Browser, statements: int = 3) -> None:
    """One browser's visit of all pages is its session: nothing missing, doubled or somebody else's."""
    session_id = browser.session_id
    requests = telemetry.requests(session_id)
    assert [span.attributes["url.path"] for span in requests] == list(PAGES)
    received = [answer.correlation_id for answer in browser.answers]
    assert [correlation_of(span) for span in requests] == received
    found = [span for span in telemetry.spans[session_id] if span.is_statement]
    assert len(found) == statements
    parents = {span.span_id: span for span in requests}
    for span in found:
        assert correlation_of(span) == correlation_of(parents[span.parent_span_id])
    assert telemetry.messages(session_id) == MESSAGES
    assert {correlation_of(log) for log in telemetry.logs[session_id]} <= set(received)
    assert [log.event_name for log in telemetry.logs[session_id] if log.event_name] == ["session.start"]
