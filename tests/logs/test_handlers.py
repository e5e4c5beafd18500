"""`OTEL_SESSION_LOG_FORMAT`: existing handlers write JSON lines or the prefix, and none of them is touched."""

import io
import json
import logging
import logging.config
import logging.handlers
import multiprocessing
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import otel_session
from otel_session import logs, testing

SESSION, PREFIX = "a1b2c3d4" * 4, "[a1b2c3d4] "


@pytest.fixture
def on() -> Iterator[Callable[[str], testing.Captured]]:
    """Switches everything on with a format; and off again."""
    with testing.captured() as captured:

        def switch(form: str) -> testing.Captured:
            otel_session.instrument(log_format=form, **captured.providers)
            return captured

        yield switch
        otel_session.uninstrument()


def parsed(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_prefix(on: Any, log: logging.Logger, written: io.StringIO) -> None:
    """What a handler's own formatter produces gets the prefix, each line of it; what is exported does not."""
    log.handlers[0].setFormatter(own := logging.Formatter("app %(levelname)s: %(message)s"))
    captured = on("prefix")
    with otel_session.bound_session(SESSION):
        log.info("two\nlines")
    assert written.getvalue() == f"{PREFIX}app INFO: two\n{PREFIX}lines\n"
    assert log.handlers[0].formatter is own
    assert [found.log_record.body for found in captured.logs()] == ["two\nlines"]


def test_json(on: Any, log: logging.Logger, lines: Callable[[], list[Any]]) -> None:
    """Stream handlers write JSON lines in the place of their own format."""
    log.handlers[0].setFormatter(logging.Formatter("app: %(message)s"))
    on("json")
    with otel_session.bound_session(SESSION):
        log.info("hello %s", "you", extra={"order": 7})
    (line,) = lines()
    assert (line["message"], line["session_id"], line["order"]) == ("hello you", SESSION, 7)


@pytest.mark.parametrize("form", ["json", "prefix"])
def test_off_again(form: str, on: Any, log: logging.Logger, written: io.StringIO) -> None:
    """`uninstrument()` leaves no trace on `logging`; a wrapper put around ours meanwhile keeps working."""
    before = dict(vars(logging.Handler)), dict(vars(logging.Logger))
    on(form)
    on(form)
    otel_session.uninstrument()
    assert (dict(vars(logging.Handler)), dict(vars(logging.Logger))) == before
    on(form)
    ours = logging.Handler.format
    logging.Handler.format = lambda *given: ours(*given)  # type: ignore[method-assign]
    otel_session.uninstrument()
    log.info("as before")
    logging.Handler.format = before[0]["format"]  # type: ignore[method-assign]
    assert written.getvalue() == "as before\n"
    assert dict(vars(logging.Logger)) == before[1]


def test_off(log: logging.Logger, on: Any) -> None:
    """Without the setting nothing of this is watched."""
    before = logging.Handler.format, logging.Logger.handle
    on("off")
    assert (logging.Handler.format, logging.Logger.handle) == before


def test_not_propagating(on: Any, fresh_logging: logging.Logger, written: io.StringIO) -> None:
    """A logger that keeps its records from the root logger is covered like any other."""
    fresh_logging.propagate = False
    fresh_logging.addHandler(logging.StreamHandler(written))
    on("prefix")
    fresh_logging.warning("apart")
    assert written.getvalue() == "[-] apart\n"


def test_last_resort(on: Any, fresh_logging: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """Without any handler logging's last resort is covered, too."""
    on("json")
    logging.getLogger().handlers = []  # pytest's
    fresh_logging.warning("nobody listens")
    (line,) = parsed(capsys.readouterr().err)
    assert (line["level"], line["message"]) == ("WARNING", "nobody listens")


def test_handlers_made_later(on: Any, fresh_logging: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """`basicConfig` and reloads of the configuration work as ever, and what they make is covered."""
    on("prefix")
    logging.getLogger().handlers = []  # pytest's
    logging.basicConfig(format="basic: %(message)s", level=logging.INFO, stream=sys.stdout)
    fresh_logging.info("one")
    for number in (2, 3):
        handler = {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "f"}
        logging.config.dictConfig({
            "version": 1, "disable_existing_loggers": False, "formatters": {"f": {"format": f"{number}: %(message)s"}},
            "handlers": {"h": handler}, "root": {"handlers": ["h"], "level": "INFO"},
        })  # fmt: skip
        fresh_logging.info("again")
    assert capsys.readouterr().out == "[-] basic: one\n[-] 2: again\n[-] 3: again\n"


def test_file(on: Any, log: logging.Logger, tmp_path: Any) -> None:
    """Files, rotating ones and ones in another encoding, get JSON lines; nothing is lost to the encoding."""
    log.handlers = [
        logging.FileHandler(tmp_path / "plain.log", encoding="utf-8"),
        logging.handlers.RotatingFileHandler(tmp_path / "latin.log", encoding="latin-1", maxBytes=10**6, backupCount=1),
    ]
    on("json")
    log.info("wörld 🌍 %s", "\ud800")
    for handler in log.handlers:
        handler.close()
    for name in ("plain.log", "latin.log"):
        (line,) = parsed((tmp_path / name).read_text(encoding="utf-8"))
        assert line["message"] == "wörld 🌍 ?"


def test_formatters_of_ours_stay(on: Any, log: logging.Logger, written: io.StringIO) -> None:
    """A handler that has one of our formatters already keeps it: no prefix twice, no JSON inside of JSON."""
    on("prefix")
    with otel_session.bound_session(SESSION):
        log.handlers[0].setFormatter(logs.PrefixFormatter())
        log.info("x")
        log.handlers[0].setFormatter(logs.JsonFormatter(defaults={"mine": 1}))
        log.info("y")
    first, second = written.getvalue().splitlines()
    assert first == PREFIX + "x"
    assert json.loads(second)["mine"] == 1


@pytest.mark.parametrize("form", ["json", "prefix"])
def test_queue(form: str, on: Any, log: logging.Logger, written: io.StringIO) -> None:
    """A listener's thread writes whose record it was, once; several sessions in one queue are not mixed up."""
    waiting: queue.Queue[Any] = queue.Queue()
    target = log.handlers.pop()
    log.addHandler(logging.handlers.QueueHandler(waiting))
    listener = logging.handlers.QueueListener(waiting, target)
    on(form)
    listener.start()
    for session in (SESSION, "20250115_143022_test"):
        with otel_session.bound_session(session):
            log.info("two\nlines")
    try:
        raise ValueError("v")
    except ValueError:
        log.exception("failed")
    listener.stop()
    if form == "prefix":
        found = written.getvalue().splitlines()
        run = "[20250115_143022_test] "
        assert found[:4] == [PREFIX + "two", PREFIX + "lines", run + "two", run + "lines"]
        assert (found[4], found[-1]) == ("[-] failed", "[-] ValueError: v")
    else:
        first, second, third = parsed(written.getvalue())
        assert (first["session_id"], second["session_id"]) == (SESSION, "20250115_143022_test")
        assert (third["message"], third["error"]["message"]) == ("failed", "v")


def test_handler_of_the_applications_own(on: Any, log: logging.Logger, written: io.StringIO) -> None:
    """A handler that writes in a thread of its own gets the ids of the thread that logged."""
    target = log.handlers.pop()

    class InThread(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            thread = threading.Thread(target=target.handle, args=(record,))
            thread.start()
            thread.join()

    log.addHandler(InThread())
    on("prefix")
    with otel_session.bound_session(SESSION):
        log.info("hello")
    assert written.getvalue() == PREFIX + "hello\n"


def test_memory_handler(on: Any, log: logging.Logger, written: io.StringIO) -> None:
    """A MemoryHandler keeps records until later: each is written with the ids it had."""
    target = log.handlers.pop()
    log.addHandler(memory := logging.handlers.MemoryHandler(10, target=target))
    on("prefix")
    with otel_session.bound_session(SESSION):
        log.info("first")
    log.info("second")
    memory.close()
    assert written.getvalue() == f"{PREFIX}first\n[-] second\n"


class Sent(logging.handlers.SysLogHandler):
    """A SysLogHandler without a socket."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.mark.parametrize(("form", "sent"), [("prefix", PREFIX + "hello"), ("json", "hello")])
def test_syslog(form: str, sent: str, on: Any, log: logging.Logger) -> None:
    """Syslog and mail get the prefix; JSON lines are for streams and files."""
    log.addHandler(syslog := Sent())
    on(form)
    with otel_session.bound_session(SESSION):
        log.info("hello")
    assert syslog.lines == [sent]


def test_formatter_that_raises(on: Any, log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """What the application's own formatter raises is handled by its handler, as without us."""
    on("prefix")
    log.info("%d", "x")
    log.info("goes on")
    assert "TypeError: %d format" in capsys.readouterr().err


def in_child(session: str, waiting: Any) -> None:
    otel_session.instrument(log_format="prefix", **testing.captured().__enter__().providers)
    log = logging.getLogger("shop.child")
    log.propagate = False
    log.setLevel(logging.INFO)
    log.addHandler(logging.handlers.QueueHandler(waiting))
    with otel_session.bound_session(session):
        log.info("from a child of %s", session)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method: str, on: Any, log: logging.Logger, written: io.StringIO) -> None:
    """Records that children send to their parent's listener keep the children's ids."""
    context: Any = multiprocessing.get_context(method)
    waiting = context.Queue()
    children = [context.Process(target=in_child, args=(f"2025011{n}_143022_test", waiting)) for n in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    on("prefix")
    listener = logging.handlers.QueueListener(waiting, log.handlers[0])
    listener.start()
    listener.stop()
    assert sorted(written.getvalue().splitlines()) == [
        f"[2025011{n}_143022_test] from a child of 2025011{n}_143022_test" for n in range(2)]  # fmt: skip


def test_a_failure_of_ours(on: Any, log: logging.Logger, written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of ours while a record is watched reaches neither the application nor its lines."""

    def fail(*_: Any) -> None:
        raise RuntimeError("ours")

    on("prefix")
    monkeypatch.setattr("otel_session.logs._handlers.keep_origin", fail)
    monkeypatch.setattr("otel_session.logs._prefix.whose", fail)
    log.addHandler(logging.handlers.MemoryHandler(10))
    log.info("still there")
    assert written.getvalue() == "still there\n"


def test_gunicorns_access_lines(on: Any, log: logging.Logger, written: io.StringIO) -> None:
    """Gunicorn writes its access line after the request; the WSGI environ that it shows tells whose it is."""
    on("prefix")
    with otel_session.bound_session(SESSION):
        context = otel_session.context.get_current()
    record = log.makeRecord(
        "gunicorn.access", 20, "f", 1, "%(r)s", ({"r": "GET /", "{otel_session.context}e": context},), None
    )
    log.handle(record)
    assert written.getvalue() == PREFIX + "GET /\n"


@pytest.mark.parametrize("kind", [logging.NullHandler, logging.handlers.HTTPHandler, logging.StreamHandler])
def test_records_stay_as_they_are(kind: Any, on: Any, log: logging.Logger) -> None:
    """Where a handler writes at once nothing is put on records: whoever sends all of their attributes sends no more."""
    seen: list[dict[str, Any]] = []

    class Sending(kind):  # type: ignore[misc]
        def __init__(self) -> None:
            logging.Handler.__init__(self)

        def handle(self, record: logging.LogRecord) -> bool:
            seen.append(dict(record.__dict__))
            return True

    log.addHandler(Sending())
    on("prefix")
    log.info("x")
    assert seen[0].keys() == logging.makeLogRecord({}).__dict__.keys() | ({"message"} & seen[0].keys())
