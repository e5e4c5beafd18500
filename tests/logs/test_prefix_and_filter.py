"""The short session id in front of each line, and the ids as attributes for format strings of one's own."""

import io
import json
import logging
import logging.config
import logging.handlers
import pickle
import queue
from collections.abc import Callable
from typing import Any

import pytest

import otel_session
from otel_session import logs, testing
from otel_session.logs import _commit

SESSION = "a1b2c3d4" * 4


def test_prefix(log: logging.Logger, written: io.StringIO) -> None:
    """`[a1b2c3d4] PERF: …`: eight characters of an id of ours, a run id whole, a hash of another one, `-` for none."""
    log.handlers[0].setFormatter(logs.PrefixFormatter())
    for session in (SESSION, "20250115_143022_scheduled", "visit-1"):
        with otel_session.bound_session(session):
            log.info("PERF: get_current_positions took %.2fs", 0.15)
    log.info("nobody's")
    assert written.getvalue().splitlines() == [
        "[a1b2c3d4] PERF: get_current_positions took 0.15s",
        "[20250115_143022_scheduled] PERF: get_current_positions took 0.15s",
        "[b1d1c9c0] PERF: get_current_positions took 0.15s".replace("b1d1c9c0", otel_session.ids.short_id("visit-1")),
        "[-] nobody's",
    ]


def test_every_line_has_it(log: logging.Logger, written: io.StringIO) -> None:
    """`grep` finds all of a message with several lines, and of its traceback; NUL makes no binary file."""
    log.handlers[0].setFormatter(logs.PrefixFormatter("%(levelname)s %(message)s"))
    with otel_session.bound_session(SESSION):
        log.info("first\nsecond\n\nfourth\0\ud800")
        try:
            raise ValueError("of\nmany lines")
        except ValueError:
            log.exception("failed")
    found = written.getvalue().splitlines()
    assert found[:5] == ["[a1b2c3d4] INFO first", "[a1b2c3d4] second", "[a1b2c3d4] ", "[a1b2c3d4] fourth\\x00\\ud800",
                         "[a1b2c3d4] ERROR failed"]  # fmt: skip
    assert found[-2:] == ["[a1b2c3d4] ValueError: of", "[a1b2c3d4] many lines"]
    assert all(line.startswith("[a1b2c3d4] ") for line in found)
    written.getvalue().encode()


@pytest.mark.parametrize(
    "named",
    [
        {"()": "otel_session.logs.PrefixFormatter", "fmt": "{levelname}: {message}", "style": "{"},
        {"class": "otel_session.logs.PrefixFormatter", "format": "{levelname}: {message}", "style": "{"},
        {"class": "otel_session.PrefixFormatter", "format": "%(levelname)s: %(message)s"},
    ],
    ids=str,
)
def test_prefix_by_name(named: dict[str, Any], fresh_logging: logging.Logger, written: io.StringIO) -> None:
    """`dictConfig` takes the formatter by name, with a format of one's own."""
    configure(named, {"class": "logging.StreamHandler", "stream": written})
    with otel_session.bound_session(SESSION):
        fresh_logging.info("hello")
    assert written.getvalue() == "[a1b2c3d4] INFO: hello\n"


def configure(formatter: dict[str, Any], handler: dict[str, Any], **more: Any) -> None:
    logging.config.dictConfig({
        "version": 1, "disable_existing_loggers": False, "formatters": {"f": formatter},
        "handlers": {"h": {**handler, "formatter": "f"}}, "root": {"handlers": ["h"], "level": "INFO"}, **more,
    })  # fmt: skip


OWN = (
    "%(session_id)s %(short_session_id)s %(correlation_id)s %(user_id)s %(trace_id)s %(span_id)s %(commit)s %(message)s"
)


def test_filter(
    telemetry: testing.Captured, fresh_logging: logging.Logger, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the filter every format string can name the ids; it holds no record back."""
    monkeypatch.setattr(_commit, "_known", ("512fbfe",))
    handler = {"class": "logging.StreamHandler", "stream": written, "filters": ["who"]}
    configure({"format": OWN}, handler, filters={"who": {"()": "otel_session.logs.SessionFilter"}})
    tracer = telemetry.providers["tracer_provider"].get_tracer("t")
    with otel_session.bound_session(SESSION) as identity, tracer.start_as_current_span("s") as span:
        fresh_logging.info("hello")
    fresh_logging.info("nobody")
    known = span.get_span_context()
    assert written.getvalue().splitlines() == [
        f"{SESSION} a1b2c3d4 {identity.correlation_id} anonymous {known.trace_id:032x} "
        f"{known.span_id:016x} 512fbfe hello",
        "- - - anonymous - - 512fbfe nobody",
    ]


def test_filter_keeps_what_the_application_has_set(log: logging.Logger, written: io.StringIO) -> None:
    """An attribute of the application's own of the same name stays."""
    log.handlers[0].addFilter(logs.SessionFilter())
    log.handlers[0].setFormatter(logging.Formatter("%(user_id)s %(short_session_id)s"))
    with otel_session.bound_session(SESSION):
        log.info("x", extra={"user_id": "joe"})
    assert written.getvalue() == "joe a1b2c3d4\n"


def test_filter_and_json(json_log: logging.Logger, lines: Callable[[], list[Any]]) -> None:
    """What the filter puts on a record is in a JSON line once; what the application puts there stays."""
    json_log.addFilter(logs.SessionFilter())
    with otel_session.bound_session(SESSION):
        json_log.info("x")
        json_log.info("y", extra={"user_id": "joe", "order": 7})
    first, second = lines()
    assert list(first)[-1] == "line"
    assert second["extra"] == {"user_id": "joe"}
    assert (second["user_id"], second["order"], second["session_id"]) == ("anonymous", 7, SESSION)


def test_filter_and_export(telemetry: testing.Captured, fresh_logging: logging.Logger) -> None:
    """A filter on the logger adds nothing to what is exported: the ids are there already."""
    fresh_logging.addFilter(logs.SessionFilter())
    with otel_session.bound_session(SESSION):
        fresh_logging.warning("x", extra={"order": 7, "apiKey": "zq"})
    (record,) = telemetry.logs()
    attributes = dict(record.log_record.attributes)
    assert {k: v for k, v in attributes.items() if not k.startswith("code.")} == {
        "session.id": SESSION, "correlation.id": attributes["correlation.id"], "order": 7, "apiKey": "[redacted]",
    }  # fmt: skip


def test_queue_with_the_filter(log: logging.Logger, written: io.StringIO, lines: Callable[[], list[Any]]) -> None:
    """With the filter on a QueueHandler the listener's thread writes whose record it was, exception and all."""
    waiting: queue.Queue[Any] = queue.Queue()
    target = log.handlers.pop()
    target.setFormatter(logs.JsonFormatter())
    handler = logging.handlers.QueueHandler(waiting)
    handler.addFilter(logs.SessionFilter())
    log.addHandler(handler)
    listener = logging.handlers.QueueListener(waiting, target)
    listener.start()
    with otel_session.bound_session(SESSION):
        log.info("plain", extra={"order": 7})
        try:
            raise ValueError("v")
        except ValueError:
            log.exception("failed %d", 3)
    listener.stop()
    plain, failed = lines()
    assert (plain["session_id"], plain["order"], "extra" in plain) == (SESSION, 7, False)
    assert (failed["session_id"], failed["message"]) == (SESSION, "failed 3")
    assert (failed["error"]["type"], failed["error"]["message"]) == ("ValueError", "v")
    assert "Traceback" in failed["error"]["traceback"]


def test_pickled(log: logging.Logger, lines: Callable[[], list[Any]]) -> None:
    """A record that went to another process, as a SocketHandler sends it, keeps its ids and its error."""
    sent = []

    class Sending(logging.handlers.SocketHandler):
        def send(self, s: bytes) -> None:
            sent.append(pickle.loads(s[4:]))

    target = log.handlers.pop()
    handler = Sending("nowhere", 0)
    handler.addFilter(logs.SessionFilter())
    log.addHandler(handler)
    with otel_session.bound_session(SESSION):
        try:
            raise ValueError("v")
        except ValueError:
            log.exception("failed")
    target.setFormatter(logs.JsonFormatter())
    target.handle(logging.makeLogRecord(sent[0]))
    (line,) = lines()
    assert (line["session_id"], line["message"], line["error"]["type"]) == (SESSION, "failed", "ValueError")
    json.dumps(sent[0])


def test_a_failing_filter(log: logging.Logger, written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of ours in the filter or the prefix costs the ids, not the record."""

    def fail(*_: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("otel_session.logs._filter.whose", fail)
    monkeypatch.setattr("otel_session.logs._prefix.whose", fail)
    monkeypatch.setattr("otel_session.logs._json.who_in", fail)
    log.addFilter(logs.SessionFilter())
    log.handlers[0].setFormatter(logs.PrefixFormatter())
    log.info("still there")
    assert written.getvalue() == "still there\n"
    line = json.loads(
        logs.JsonFormatter().format(logging.makeLogRecord({"msg": "x", "levelname": "INFO", "name": "n"}))
    )
    assert (line["level"], line["logger"], line["session_id"]) == ("INFO", "n", None)
