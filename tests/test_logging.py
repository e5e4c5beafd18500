"""What an application logs becomes telemetry, and its own logging goes on exactly as before."""

import logging
import logging.config
import logging.handlers
import queue
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult, SimpleLogRecordProcessor

import otel_session
from otel_session import context as here
from otel_session import testing
from otel_session.instrumentors.logging import LoggingInstrumentor, body_of, severity_of


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """A logger of its own, with logging as a fresh process has it; everything is put back afterwards."""
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    root.handlers, made = [], logging.getLogger("shop.orders")
    root.setLevel(logging.WARNING)
    made.setLevel(logging.DEBUG)
    yield made
    root.handlers = kept
    root.setLevel(level)
    made.handlers, made.propagate, made.disabled = [], True, False
    made.setLevel(logging.NOTSET)


def said(telemetry: testing.Captured) -> list[Any]:
    return [found.log_record.body for found in telemetry.logs()]


def only(telemetry: testing.Captured) -> Any:
    (found,) = telemetry.logs()
    return found.log_record


def test_a_record(telemetry: testing.Captured, log: logging.Logger) -> None:
    """A record carries its text, severity, time, place, logger, span, session and what was given as extra."""
    tracer = telemetry.providers["tracer_provider"].get_tracer("t")
    with otel_session.bound_session("visit-1") as identity, tracer.start_as_current_span("s") as span:
        log.warning("%d of %s", 3, "four", extra={"order": 7, "otel.event.name": "order.late"})
    record = only(telemetry)
    assert record.body == "3 of four"
    assert (record.severity_text, record.severity_number.value) == ("WARN", 13)
    assert record.event_name == "order.late"
    assert record.span_id == span.get_span_context().span_id
    attributes = dict(record.attributes)
    assert attributes.pop("code.file.path") == __file__
    assert attributes.pop("code.line.number") > 0
    assert attributes == {
        "code.function.name": "test_a_record",
        "order": 7,
        "session.id": "visit-1",
        "correlation.id": identity.correlation_id,
    }
    assert telemetry.logs()[0].instrumentation_scope.name == "shop.orders"


def test_basic_config_after_us(telemetry: testing.Captured, log: logging.Logger, capsys: Any) -> None:
    """`basicConfig` called after us still sets up the root logger: no handler of ours is in its way."""
    logging.getLogger().handlers = []  # pytest's
    logging.basicConfig(format="app: %(message)s", level=logging.INFO, stream=sys.stdout)
    log.info("hello")
    assert capsys.readouterr().out == "app: hello\n"
    assert said(telemetry) == ["hello"]


def test_dict_config_reload(telemetry: testing.Captured, log: logging.Logger, capsys: Any) -> None:
    """A set-up replaced at run time, handlers and all, does not lose us and does not double us."""
    handler = {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}
    for number in range(3):
        setup = {"handlers": {"h": handler}, "root": {"handlers": ["h"], "level": "INFO"}}
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, **setup})
        log.info("round %d", number)
    assert said(telemetry) == ["round 0", "round 1", "round 2"]
    assert capsys.readouterr().out == "round 0\nround 1\nround 2\n"


def test_not_propagating(telemetry: testing.Captured, log: logging.Logger) -> None:
    """A logger that keeps its records from the root logger is exported like any other."""
    log.propagate = False
    log.addHandler(logging.NullHandler())
    log.info("kept apart")
    assert said(telemetry) == ["kept apart"]


def test_last_resort(telemetry: testing.Captured, log: logging.Logger, capsys: Any) -> None:
    """Without any handler a warning is still printed by logging's last resort."""
    logging.getLogger().handlers = []  # pytest's
    log.warning("nobody listens")
    assert capsys.readouterr().err == "nobody listens\n"
    assert said(telemetry) == ["nobody listens"]


def test_queue_handler(telemetry: testing.Captured, log: logging.Logger) -> None:
    """A QueueHandler with its listener exports each record once, with the session of who logged it."""
    seen: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    waiting: queue.Queue[Any] = queue.Queue()
    listener = logging.handlers.QueueListener(waiting, Keeping())
    log.addHandler(logging.handlers.QueueHandler(waiting))
    with otel_session.bound_session("visit-1"):
        listener.start()
        log.info("queued %d", 1)
    listener.stop()
    assert seen == ["queued 1"]
    assert said(telemetry) == ["queued 1"]
    assert only(telemetry).attributes["session.id"] == "visit-1"


def test_levels_and_filters(telemetry: testing.Captured, log: logging.Logger) -> None:
    """What the application's levels and loggers' filters hold back is not exported."""
    log.setLevel(logging.ERROR)
    log.warning("too low")
    log.setLevel(logging.DEBUG)
    log.addFilter(reject := lambda record: "secret" not in record.getMessage())
    log.warning("a secret")
    log.removeFilter(reject)
    log.disabled = True
    log.error("switched off")
    log.disabled = False
    logging.disable(logging.INFO)
    log.info("held back")
    logging.disable(logging.NOTSET)
    log.debug("through")
    assert said(telemetry) == ["through"]


@pytest.mark.parametrize(
    ("level", "number"),
    [
        (0, 0),
        (5, 0),
        (10, 5),
        (15, 8),
        (20, 9),
        (25, 12),
        (30, 13),
        (35, 16),
        (40, 17),
        (50, 21),
        (60, 24),
        (10**9, 24),
    ],
)
def test_severity(level: int, number: int) -> None:
    """Logging's levels become OTLP's severity numbers, those in between too."""
    assert severity_of(level).value == number


def test_exceptions_are_scrubbed(telemetry: testing.Captured, log: logging.Logger) -> None:
    """An exception goes along by type, message and stack, without the values of a statement, wherever they stand."""
    from sqlalchemy import create_engine, exc, text

    engine, owner = create_engine("sqlite://"), "hunter2"
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT * FROM deals WHERE owner = :owner"), {"owner": owner})
    except exc.OperationalError as error:
        log.exception("it failed: %s", error, extra={"error": error, "where": {"inner": [error]}})
        log.error(error)
        log.error(f"it failed: {error}")
    records = [found.log_record for found in telemetry.logs() if found.log_record.severity_number.value == 17]
    assert len(records) == 3
    assert "hunter2" not in repr([(r.body, dict(r.attributes)) for r in telemetry.logs() for r in [r.log_record]])
    first = records[0].attributes
    assert first["exception.type"] == "sqlalchemy.exc.OperationalError"
    assert "no such table: deals" in first["exception.message"]
    assert "test_exceptions_are_scrubbed" in first["exception.stacktrace"]


def test_sensitive_extra(telemetry: testing.Captured, log: logging.Logger) -> None:
    """Values under names such as password or token are masked, at every depth."""
    log.info("x", extra={"password": "hunter2", "form": {"api_key": "hunter2", "more": [{"token": "hunter2"}]}})
    assert "hunter2" not in repr(dict(only(telemetry).attributes))
    assert only(telemetry).attributes["password"] == "[redacted]"


class _Raises:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class _BadMapping(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no items")


def test_hostile_records(telemetry: testing.Captured, log: logging.Logger) -> None:
    """Odd values are exported as far as they can be read; every record arrives, and none stops the exporter.

    Text that cannot be made, values that contain themselves, 10 MB, lone surrogates, numbers of 100 digits.
    """
    log.addHandler(logging.NullHandler())
    log.propagate = False
    looped: list[Any] = []
    looped.append(looped)
    around: dict[str, Any] = {}
    around["self"] = around
    records: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
        (_Raises(), (), {}),
        ("%s", (_Raises(),), {}),
        ("%d items", ("many",), {}),
        ("%s %s", ("one",), {}),
        ("x" * 10_000_000, (), {}),
        ("a file: \udcff", (), {}),
        ("x", (), {"value": _Raises(), "list": looped, "mapping": around, "bad": _BadMapping()}),
        ("x", (), {"huge": 10**100, "text": "y" * 10_000_000, "file": "\udcff", "nan": float("nan"), "none": None}),
        ("x", (), {"bytes": b"\xff", "set": {1}, "keys": {1: 2, None: 3, _Raises(): 4}}),
        ("x", (), {f"k{i}": i for i in range(500)}),
        ("\0\x1b[31m\r\n", (), {"a b\n": "\0"}),
        (b"bytes", (), {}),
        (None, (), {}),
    ]
    for message, args, extra in records:
        log.info(message, *args, extra=extra)
    log.info("x", exc_info=(None, None, None))
    made = {"name": "shop.orders", "msg": "made", "levelno": 20, "levelname": "INFO"}
    log.handle(logging.makeLogRecord({**made, "exc_info": RuntimeError("bare")}))
    log.handle(logging.makeLogRecord({**made, "exc_info": True, "args": {"a": 1}, "funcName": 5, "pathname": None}))
    found = telemetry.logs()
    assert len(found) == len(records) + 3
    assert max(len(str(f.log_record.body)) for f in found) <= 65_536
    assert all(len(f.log_record.attributes) <= 80 for f in found)
    assert encode_logs(found).SerializeToString()
    bodies = said(telemetry)
    assert bodies[0] == "(its text could not be read)"
    assert bodies[1:4] == ["%s", "%d items", "%s %s"]
    assert bodies[5] == "a file: ?"
    assert found[6].log_record.attributes["value"] == "(its text could not be read)"
    assert found[7].log_record.attributes["huge"] == "1" + "0" * 100
    assert found[-2].log_record.attributes["exception.type"] == "RuntimeError"


def test_a_long_message_is_cheap() -> None:
    """A message of 10 MB, made to be slow to clean, costs a few milliseconds and not seconds."""
    import time

    hostile = "?password=" + "a&=?" * 2_500_000 + "[SQL: " * 1000
    record = logging.makeLogRecord({"msg": hostile})
    started = time.perf_counter()
    body = body_of(record)
    assert time.perf_counter() - started < 0.5
    assert len(body) <= 65_536


def test_handlers_see_the_record_as_it_was(telemetry: testing.Captured, log: logging.Logger) -> None:
    """The application's own handlers get the same record, unchanged, with its arguments and exception."""
    seen: list[logging.LogRecord] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    log.addHandler(Keeping())
    log.propagate = False
    before = set(vars(logging.makeLogRecord({})))
    try:
        raise ValueError("inner")
    except ValueError:
        log.error("%s", "x", exc_info=True, extra={"password": "p"})
    (record,) = seen
    assert set(vars(record)) - before <= {"password", "taskName"}
    assert (record.args, record.password, record.exc_info[0]) == (("x",), "p", ValueError)  # type: ignore[attr-defined,index]


def test_statements_of_sql_loggers_stay_here(telemetry: testing.Captured, log: logging.Logger) -> None:
    """Loggers that print statements with their values are not exported below WARNING, and without values above."""
    for name in ("sqlalchemy.engine.Engine", "django.db.backends", "aiosqlite"):
        other = logging.getLogger(name)
        other.setLevel(logging.DEBUG)
        other.info("INSERT %s", "hunter2")
        other.warning("slow: %s", "hunter2")
        other.setLevel(logging.NOTSET)
    assert said(telemetry) == ["slow: %s"] * 3


def test_no_loop(log: logging.Logger) -> None:
    """An exporter that logs, and one that logs when it fails, starts no round of its own records."""
    batches: list[list[Any]] = []

    class Chatty(LogRecordExporter):
        def export(self, batch: Any) -> LogRecordExportResult:
            batches.append([found.log_record.body for found in batch])
            log.error("exporting")
            raise RuntimeError("and failing")

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 0) -> bool:
            return True

    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(Chatty()))
    log.propagate = False
    log.addHandler(logging.NullHandler())
    otel_session.instrument(logger_provider=provider, tracer_provider=trace.NoOpTracerProvider())
    try:
        log.warning("one")
        with suppress_instrumentation():
            log.warning("inside of an exporter's thread")
    finally:
        otel_session.uninstrument()
        provider.shutdown()
    assert batches == [["one"]]


def test_official_handler_is_not_doubled(telemetry: testing.Captured, log: logging.Logger) -> None:
    """Where an OpenTelemetry handler takes a record already, ours stands aside; other loggers' records are ours."""

    class LoggingHandler(logging.Handler):
        __module__ = "opentelemetry.instrumentation.logging.handler"

        def emit(self, record: logging.LogRecord) -> None:
            pass

    root = logging.getLogger()
    root.addHandler(LoggingHandler())
    log.info("taken by the other")
    log.propagate = False
    log.addHandler(logging.NullHandler())
    log.info("ours")
    assert said(telemetry) == ["ours"]


def test_no_exporter_no_work(log: logging.Logger) -> None:
    """With OTEL_LOGS_EXPORTER=none (a provider with only our ids in it) a record is not even formatted by us."""
    formatted = []

    class Counted:
        def __str__(self) -> str:
            formatted.append(1)
            return "x"

    provider = LoggerProvider(shutdown_on_exit=False)
    log.addHandler(logging.NullHandler())
    log.propagate = False
    otel_session.instrument(logger_provider=provider, tracer_provider=trace.NoOpTracerProvider())
    try:
        log.info("%s", Counted())
    finally:
        otel_session.uninstrument()
        provider.shutdown()
    assert formatted == []


def test_threads_do_not_mix(telemetry: testing.Captured, log: logging.Logger) -> None:
    """Records of many threads at once each carry their own thread's session."""
    log.addHandler(logging.NullHandler())
    log.propagate = False

    def work(number: int) -> None:
        with otel_session.bound_session(f"visit-{number}"):
            for _ in range(50):
                log.info("of %d", number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pairs = {(f.log_record.body, f.log_record.attributes["session.id"]) for f in telemetry.logs()}
    assert pairs == {(f"of {n}", f"visit-{n}") for n in range(16)}
    assert len(telemetry.logs()) == 800


def test_uninstrument_restores() -> None:
    """Switched off, `logging` is the very function it was, nothing is exported, and on again works."""
    before = logging.Logger.callHandlers
    with testing.captured() as telemetry:
        for _ in range(2):
            otel_session.instrument(**telemetry.providers)
            otel_session.instrument(**telemetry.providers)
            assert logging.Logger.callHandlers is not before
            logging.getLogger("shop").error("on")
            otel_session.uninstrument()
            assert logging.Logger.callHandlers is before
            logging.getLogger("shop").error("off")
        assert said(telemetry) == ["on", "on"]


def test_uninstrument_under_another_patch() -> None:
    """When somebody patched after us, theirs is left in place, and ours in the middle does nothing any more."""
    before = logging.Logger.callHandlers
    with testing.captured() as telemetry:
        LoggingInstrumentor().instrument(logger_provider=telemetry.providers["logger_provider"])
        ours = logging.Logger.callHandlers

        def theirs(logger: logging.Logger, record: logging.LogRecord) -> None:
            ours(logger, record)

        logging.Logger.callHandlers = theirs  # type: ignore[method-assign]
        try:
            LoggingInstrumentor().uninstrument()
            assert logging.Logger.callHandlers is theirs
            logging.getLogger("shop").error("off")
        finally:
            logging.Logger.callHandlers = before  # type: ignore[method-assign]
        assert said(telemetry) == []


def test_outside_of_a_session(telemetry: testing.Captured, log: logging.Logger) -> None:
    """A record with nobody there has no session and no correlation id."""
    token = otel_context.attach(here.without_identity())
    try:
        log.info("at start-up")
    finally:
        otel_context.detach(token)
    assert not {"session.id", "correlation.id"} & set(only(telemetry).attributes)
