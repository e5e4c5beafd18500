"""Users never mix: 1,000 sessions on 64 threads, with helper threads, pools, streams and asyncio, span by span."""

import asyncio
import logging
import pathlib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask, Response, request, stream_with_context
from sqlalchemy import Engine, create_engine, event, text

from otel_session import testing, visits

THREADS = 64
SESSIONS = 1_000
PATHS = ("/page", "/helpers", "/stream", "/async")
STATEMENTS = {"/page": 1, "/helpers": 3, "/stream": 2, "/async": 3}
LINES = {"/page": 1, "/helpers": 3, "/stream": 2, "/async": 3}
MAX_S = 30

log = logging.getLogger("stress")


@dataclass(frozen=True)
class Asked:
    """One request as its client saw it."""

    mark: str
    path: str
    session_id: str
    correlation_id: str


def made_app(engine: Engine, pool: ThreadPoolExecutor) -> Flask:
    """An application that does its work in every way that could lose or mix up the user."""
    app = Flask("stress")

    def work(mark: str) -> str:
        with engine.connect() as connection:
            connection.execute(text("SELECT id FROM marks WHERE name = :name"), {"name": mark}).all()
        log.warning("mark %s", mark)
        return mark

    @app.get("/page")
    def page() -> str:
        return work(request.args["mark"])

    @app.get("/helpers")
    def helpers() -> str:
        mark = request.args["mark"]
        thread = threading.Thread(target=work, args=(mark,))
        thread.start()
        waiting = pool.submit(work, mark)
        thread.join()
        waiting.result()
        return work(mark)

    @app.get("/stream")
    def stream() -> Response:
        mark = request.args["mark"]

        def rows() -> Iterator[str]:
            for _ in range(2):
                yield work(mark)
                time.sleep(0.0005)  # so that others run in between

        return Response(stream_with_context(rows()))

    @app.get("/async")
    def asynchronous() -> str:
        mark = request.args["mark"]

        async def main() -> None:
            async def later() -> None:
                await asyncio.sleep(0)
                work(mark)

            await asyncio.gather(later(), asyncio.to_thread(work, mark), asyncio.create_task(later()))

        asyncio.run(main())
        return mark

    return app


@pytest.fixture
def engine(tmp_path: pathlib.Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path / 'stress.db'}", pool_size=THREADS * 3, max_overflow=0)
    with made.begin() as connection:
        connection.execute(text("CREATE TABLE marks (id INTEGER PRIMARY KEY, name TEXT)"))
    yield made
    made.dispose()


def visit(app: Flask, number: int) -> list[Asked]:
    """One browser's visit: a page of each kind, its cookie kept."""
    client = app.test_client()
    asked = []
    for path in PATHS:
        mark = f"{number}{path.replace('/', '-')}"
        response = client.get(f"{path}?mark={mark}")
        assert response.status_code == 200
        assert response.get_data(as_text=True).startswith(mark)
        cookie = client.get_cookie("otel_session")
        assert cookie is not None
        held = visits.parse(cookie.value, time.time())
        assert held is not None
        asked.append(Asked(mark, path, held.session_id, response.headers["X-Correlation-ID"]))
        response.close()
    assert len({each.session_id for each in asked}) == 1
    return asked


def driven(app: Flask) -> list[Asked]:
    """All visits, on 64 threads."""
    numbers = iter(range(SESSIONS))
    lock, found, errors = threading.Lock(), [], []

    def run() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                visited = visit(app, number)
            except BaseException as error:
                errors.append(error)
                raise
            with lock:
                found.extend(visited)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return found


def test_a_thousand_sessions(engine: Engine, telemetry: testing.Captured) -> None:
    """Every span and log record of each of 4,000 requests carries exactly its client's session and correlation id."""
    executed: Counter[str] = Counter()
    event.listen(engine, "before_cursor_execute", lambda c, cu, s, p, ctx, m: executed.update(p))
    telemetry.clear()
    started_s = time.process_time()  # other programs on the machine do not count
    with ThreadPoolExecutor(16) as pool:
        asked = driven(made_app(engine, pool))
    took_s = time.process_time() - started_s
    assert len({each.session_id for each in asked}) == SESSIONS
    assert len({each.correlation_id for each in asked}) == len(asked) == SESSIONS * len(PATHS)
    _check_spans(telemetry, asked, executed)
    _check_logs(telemetry, asked)
    assert took_s < MAX_S


def _check_spans(telemetry: testing.Captured, asked: list[Asked], executed: Counter[str]) -> None:
    traces: dict[int, list[Any]] = defaultdict(list)
    for span in telemetry.spans():
        traces[span.context.trace_id].append(span)
    assert len(traces) == len(asked)
    by_mark = {f"mark={each.mark}": each for each in asked}
    for spans in traces.values():
        (server,) = [span for span in spans if span.kind.name == "SERVER"]
        wanted = by_mark.pop(server.attributes["url.query"])
        ids = {(span.attributes.get("session.id"), span.attributes.get("correlation.id")) for span in spans}
        assert ids == {(wanted.session_id, wanted.correlation_id)}
        statements = [span for span in spans if span is not server and span.name != "connect"]
        assert len(statements) == STATEMENTS[wanted.path] == executed[wanted.mark]
    assert by_mark == {}


def _check_logs(telemetry: testing.Captured, asked: list[Asked]) -> None:
    wanted = Counter(
        (f"mark {each.mark}", each.session_id, each.correlation_id) for each in asked for _ in range(LINES[each.path])
    )
    found: Counter[Any] = Counter()
    for log_record in (found.log_record for found in telemetry.logs()):
        if not log_record.event_name:
            attributes = log_record.attributes or {}
            found[(log_record.body, attributes["session.id"], attributes["correlation.id"])] += 1
    assert found == wanted
    events = Counter(
        found.log_record.attributes["session.id"] for found in telemetry.logs() if found.log_record.event_name
    )
    assert events == Counter({each.session_id for each in asked})
