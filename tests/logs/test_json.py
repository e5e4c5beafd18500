"""JSON lines: all the fields of feature B3, in one line, whatever a record holds."""

import copy
import datetime
import json
import logging
import logging.config
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import otel_session
from otel_session import context as here
from otel_session import ids, logs, masking, testing
from otel_session.logs import _commit, _encoding

ALWAYS = ["timestamp", "level", "logger", "message", "correlation_id", "session_id", "user_id", "trace_id", "span_id",
          "commit", "module", "function", "line"]  # fmt: skip
SESSION = "a1b2c3d4" * 4


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_commit, "_known", ("512fbfe",))


def test_all_fields(telemetry: testing.Captured, json_log: logging.Logger, lines: Callable[[], list[Any]]) -> None:
    """A record inside of a session, a span and an operation has every field, in this order."""
    tracer = telemetry.providers["tracer_provider"].get_tracer("t")
    with otel_session.bound_session(SESSION) as identity, tracer.start_as_current_span("s") as span:
        identity.set_user("user.hash", "0123abcd")
        try:
            raise ValueError("no such client")
        except ValueError:
            fields = {"operation": "create_client", "duration_ms": 12.3456, "success": False, "metadata": {"n": 1}}
            json_log.exception("create_client_failed", extra={**fields, "tenant": "ACME"})
    (line,) = lines()
    assert list(line) == [
        *ALWAYS[:7],
        "operation",
        "duration_ms",
        "success",
        "metadata",
        "error",
        *ALWAYS[7:],
        "tenant",
    ]
    error = line.pop("error")
    assert line.pop("line") > 0
    moment = datetime.datetime.fromisoformat(line.pop("timestamp").replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - moment).total_seconds()) < 10
    known = span.get_span_context()
    assert line == {
        "level": "ERROR", "logger": "shop.orders", "message": "create_client_failed", "commit": "512fbfe",
        "correlation_id": identity.correlation_id, "session_id": SESSION, "user_id": "0123abcd",
        "operation": "create_client", "duration_ms": 12.35, "success": False, "metadata": {"n": 1}, "tenant": "ACME",
        "trace_id": f"{known.trace_id:032x}", "span_id": f"{known.span_id:016x}",
        "module": "test_json", "function": "test_all_fields",
    }  # fmt: skip
    assert (error["type"], error["message"]) == ("ValueError", "no such client")
    assert error["traceback"].startswith("Traceback (most recent call last):\n  File ")
    assert error["traceback"].endswith("ValueError: no such client\n")


def test_nobody(json_log: logging.Logger, lines: Callable[[], list[Any]], written: Any) -> None:
    """Outside of everything the ids are null, the user is anonymous, and fields of operations are not there."""
    json_log.info("started")
    (line,) = lines()
    assert list(line) == ALWAYS
    assert {line[name] for name in ("correlation_id", "session_id", "trace_id", "span_id")} == {None}
    assert line["user_id"] == "anonymous"
    assert written.getvalue().count("\n") == 1


def test_users(json_log: logging.Logger, lines: Callable[[], list[Any]]) -> None:
    """The user is the keyed hash, or the raw id where that was asked for; and who logs in later counts from then on."""
    with otel_session.bound_session(SESSION) as identity:
        json_log.info("before")
        identity.set_user("user.hash", ids.keyed_hash("user:joe", "k" * 16))
        json_log.info("hashed")
        identity.set_user("user.id", "joe")
        json_log.info("raw")
        otel_session.set_correlation_id("order-7")
        json_log.info("renamed")
    assert [line["user_id"] for line in lines()] == ["anonymous", ids.keyed_hash("user:joe", "k" * 16), "joe", "joe"]
    assert [line["correlation_id"] for line in lines()][-1] == "order-7"


def test_ids_change_with_the_context(json_log: logging.Logger, lines: Callable[[], list[Any]]) -> None:
    """Contexts inside of each other and after each other: each line has its own ids."""
    for session in ("one", "two"):
        with otel_session.bound_session(session):
            json_log.info("outer")
            with otel_session.bound_session(session + "-inner"):
                json_log.info("inner")
            json_log.info("outer")
        json_log.info("nobody")
    assert [line["session_id"] for line in lines()] == [
        "one", "one-inner", "one", None, "two", "two-inner", "two", None]  # fmt: skip


def test_an_identity_that_has_expired(json_log: logging.Logger, lines: Callable[[], list[Any]]) -> None:
    """A helper thread's identity counts until its deadline, and the line after it is nobody's."""
    with otel_session.bound_session(SESSION) as identity:
        twin = identity.until(here.time.monotonic() + 3_600)
        token = here.attach(here.put(twin))
        json_log.info("within")
        twin.deadline = here.time.monotonic() - 1
        json_log.info("beyond")
        here.detach(token)
    assert [line["session_id"] for line in lines()] == [SESSION, None]


@pytest.mark.parametrize("created", [0.0, 1_736_951_422.000001, 1_736_951_422.999999, 1_700_000_000.5, 4e9])
def test_times(created: float) -> None:
    """Times are UTC to the microsecond, and the cache of seconds does not mix them up."""
    formatter = logs.JsonFormatter()
    for moment in (created, created + 1, created):
        line = json.loads(formatter.format(logging.makeLogRecord({"msg": "x", "created": moment})))
        shown = datetime.datetime.fromisoformat(line["timestamp"].replace("Z", "+00:00"))
        assert abs(shown.timestamp() - moment) < 2e-6
        assert line["timestamp"][-8:-7] == "."


# --- extra= ---


def test_extra_fields(json_log: logging.Logger, lines: Callable[[], list[Any]]) -> None:
    """Fields of the application's own stand beside ours, never in their place; what JSON cannot hold is text."""
    with otel_session.bound_session(SESSION):
        json_log.info("x", extra={"order": 7, "when": datetime.date(2025, 1, 15), "session_id": "mine", "extra": 1,
                                  "line": 3, "commit": "c", "big": 2**70, "nan": math.nan, "on": True, "no": None,
                                  "rate": 0.5, "items": {1, 2}, "who": ValueError("v")})  # fmt: skip
    (line,) = lines()
    assert line["session_id"] == SESSION
    assert line["commit"] == "512fbfe"
    assert line["extra"] == {"session_id": "mine", "extra": 1, "line": 3, "commit": "c"}
    assert {k: v for k, v in line.items() if k not in ALWAYS and k != "extra"} == {
        "order": 7, "when": "2025-01-15", "big": str(2**70), "nan": "NaN", "on": True, "no": None, "rate": 0.5,
        "items": [1, 2], "who": "ValueError: v",
    }  # fmt: skip


def test_extra_fields_are_masked(json_log: logging.Logger, lines: Callable[[], list[Any]], using: Any) -> None:
    """Keys, texts and lengths count in `extra=` and metadata alike, one's own patterns included, at once."""
    extra = {
        "password": "x",
        "note": "Bearer abcdefghijkl",
        "salary": 1,
        "long": "y" * 99,
        "metadata": {"a": {"cvv": 1}},
    }
    json_log.info("before", extra=extra)
    using(masked_keys="salary", metadata_max_chars=9)
    json_log.info("after", extra={k: v for k, v in extra.items() if k != "metadata"})
    using()
    json_log.info("salary", extra={"salary": 2})
    before, after, last = lines()
    assert (before["password"], before["note"], before["salary"]) == (masking.MASK, f"Bearer {masking.MASK}", 1)
    assert before["metadata"] == {"a": {"cvv": masking.MASK}}
    assert (after["salary"], after["long"]) == (masking.MASK, "y" * 9 + "… (cut, 99 characters)")
    assert last["salary"] == 2


def test_many_extra_fields(json_log: logging.Logger, lines: Callable[[], list[Any]]) -> None:
    """Of a record with a great many fields 64 are kept, and the line is still one."""
    json_log.info("x", extra={f"k{n}": n for n in range(10_000)})
    (line,) = lines()
    assert len(line) == len(ALWAYS) + 64


def test_constant_fields(log: logging.Logger, lines: Callable[[], list[Any]]) -> None:
    """`defaults` are fields of every line, unless a record brings its own."""
    log.handlers[0].setFormatter(logs.JsonFormatter(defaults={"service": "shop", "token": "x", "level": "y"}))
    log.info("a")
    log.info("b", extra={"service": "till"})
    first, second = lines()
    assert (first["service"], second["service"]) == ("shop", "till")
    assert first["token"] == masking.MASK
    assert first["level"] == "INFO"
    assert first["extra"] == second["extra"] == {"level": "y"}


@pytest.mark.parametrize(
    ("given_one", "shown"),
    [
        ({"duration_ms": 3}, {"duration_ms": 3.0}),
        ({"duration_ms": math.inf}, {"duration_ms": "Infinity"}),
        ({"duration_ms": "long"}, {"duration_ms": "long"}),
        ({"success": 1}, {"success": 1}),
        ({"operation": 5}, {"operation": "5"}),
        ({"metadata": [1, 2]}, {"metadata": {"value": [1, 2]}}),
        ({"error": {"type": "T", "message": "m", "traceback": "t", "code": 5, "token": "x"}},
         {"error": {"type": "T", "message": "m", "traceback": "t", "code": 5, "token": masking.MASK}}),
        ({"error": "it broke"}, {"error": {"message": "it broke"}}),
        ({"error": None}, {"error": {}}),
    ],
)  # fmt: skip
def test_operation_fields(
    given_one: dict[str, Any], shown: dict[str, Any], json_log: logging.Logger, lines: Callable[[], list[Any]]
) -> None:
    """Fields of an operation are taken from a record's attributes, whoever set them and to whatever."""
    json_log.info("x", extra=given_one)
    (line,) = lines()
    assert {k: v for k, v in line.items() if k not in ALWAYS} == shown


def test_an_exception_as_error(json_log: logging.Logger, lines: Callable[[], list[Any]]) -> None:
    """`error` may be the exception itself, and fills what an exception in hand does not say."""
    json_log.info("x", extra={"error": KeyError("k")})
    try:
        raise ValueError("v")
    except ValueError:
        json_log.error("y", exc_info=True, extra={"error": {"code": 7}})
    first, second = lines()
    assert (first["error"]["type"], first["error"]["message"]) == ("KeyError", "'k'")
    assert (second["error"]["type"], second["error"]["message"], second["error"]["code"]) == ("ValueError", "v", 7)


def test_stack(json_log: logging.Logger, lines: Callable[[], list[Any]]) -> None:
    """`stack_info=True` gives a field of its own."""
    json_log.info("x", stack_info=True)
    assert lines()[0]["stack"].startswith("Stack (most recent call last):\n")


def test_sql_values_stay_here(json_log: logging.Logger, lines: Callable[[], list[Any]], written: Any) -> None:
    """Statements' values are neither in messages, nor in arguments that are errors, nor in tracebacks."""
    from sqlalchemy import create_engine, text

    engine = create_engine("sqlite://")
    try:
        with engine.connect() as connection:
            connection.execute(text("INSERT INTO nowhere VALUES (:v)"), {"v": "zq" + "marker"})
    except Exception as error:
        json_log.exception("failed: %s", error)
        json_log.error(f"failed: {error}")
        json_log.error(error)
    engine.dispose()
    record = json_log.makeRecord(
        "sqlalchemy.engine.Engine", 20, "f", 1, "[%s] %r", ("cached", ("zq" + "marker",)), None
    )
    json_log.handle(record)
    assert len(lines()) == 4
    assert "zqmarker" not in written.getvalue()


# --- One record, one line ---


class Unshowable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Tricky(str):
    def __str__(self) -> str:
        raise RuntimeError("no")

    def isascii(self) -> bool:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("message", "args", "shown"),
    [
        ("a\nb\r\n\tc", (), "a\nb\r\n\tc"),
        ("nul \0 and \x1b[31m", (), "nul \0 and \x1b[31m"),
        ("lone \ud800 and \udcff", (), "lone ? and ?"),
        ("ends: \x85 \u2028 \u2029 \x0b \x0c \x1c", (), "ends: \x85 \u2028 \u2029 \x0b \x0c \x1c"),
        ('quote " and \\', (), 'quote " and \\'),
        ("wörld 🌍 %s", ("ü",), "wörld 🌍 ü"),
        ("100%", (), "100%"),
        ("%d", ("x",), "%d (its arguments do not fit)"),
        ("%s %s", (1,), "%s %s (its arguments do not fit)"),
        ("%(a)s", ({"a": 1},), "1"),
        ("%s", (Unshowable(),), "%s (its arguments do not fit)"),
        (Unshowable(), (), masking.UNREADABLE),
        (Tricky("tricky"), (), masking.UNREADABLE),
        (None, (), "None"),
        ({"a": 1}, (), "{'a': 1}"),
        ("x" * 10_000_000, (), "x" * 65_536 + "… (cut, 10,000,000 characters)"),
    ],
    ids=range(16),
)
def test_messages(
    message: Any, args: Any, shown: str, json_log: logging.Logger, lines: Callable[[], list[Any]], written: Any
) -> None:
    """Whatever a message holds, it is one line of JSON, for those who end lines at other characters, too."""
    json_log.info(message, *args)
    json_log.info(message, *args)
    assert [line["message"] for line in lines()] == [shown, shown]
    assert len(written.getvalue().splitlines()) == 2
    written.getvalue().encode()


@pytest.mark.parametrize(
    "broken",
    [{"created": "now"}, {"created": math.nan}, {"created": -1e30}, {"levelname": []}, {"name": None}, {"module": 3},
     {"lineno": "x"}, {"args": 5}, {"exc_info": True}, {"exc_info": (1, 2)}, {"exc_text": 7}, {"stack_info": [1]},
     {"_otel_session": 5}, {"_otel_session": ((1, 2, 3), (4, 5), 6, 7)}, {1: 2, None: 3}],
    ids=str,
)  # fmt: skip
def test_records_that_are_none(broken: Any) -> None:
    """A record with fields that no record has still gives one line of JSON."""
    record = logging.makeLogRecord({"msg": "x"})
    record.__dict__.update(broken)
    line = logs.JsonFormatter().format(record)
    assert "\n" not in line
    assert set(ALWAYS[:8]) <= set(json.loads(line))


def test_a_traceback_that_came_as_text(json_log: logging.Logger, lines: Callable[[], list[Any]]) -> None:
    """Of a record out of another process there is the traceback's text: type and message are its last line's."""
    record = logging.makeLogRecord(
        {"msg": "x", "levelno": 20, "exc_text": "Traceback …\n  File\nshop.Sold: out of stock\n"}
    )
    json_log.handle(record)
    assert lines()[0]["error"] == {
        "type": "shop.Sold", "message": "out of stock", "traceback": "Traceback …\n  File\nshop.Sold: out of stock\n"
    }  # fmt: skip


def test_the_record_stays_as_it_is() -> None:
    """Formatting leaves no trace on the record: other handlers see what they saw without us."""
    try:
        raise ValueError("v")
    except ValueError:
        record = logging.LogRecord("n", 20, "p", 1, "%s", ("a",), sys.exc_info())
    before = copy.copy(record.__dict__)
    logs.JsonFormatter().format(record)
    assert record.__dict__ == before


def test_ascii_only(log: logging.Logger, lines: Callable[[], list[Any]], written: Any) -> None:
    """For streams that are not UTF-8 the same JSON can be had in ASCII."""
    log.handlers[0].setFormatter(logs.JsonFormatter(ascii_only=True))
    log.info("wörld 🌍 \u2028", extra={"é": "è"})
    assert written.getvalue().isascii()
    assert (lines()[0]["message"], lines()[0]["é"]) == ("wörld 🌍 \u2028", "è")


# --- By name; with and without orjson ---


@pytest.mark.parametrize(
    "named",
    [
        {"()": "otel_session.logs.JsonFormatter", "max_message_chars": 5},
        {"()": "otel_session.logs.JsonFormatter", "defaults": {"service": "shop"}},
        {"class": "otel_session.logs.JsonFormatter"},
        {"class": "otel_session.logs.JsonFormatter", "format": "%(message)s", "datefmt": "%H", "style": "%"},
        {"class": "otel_session.JsonFormatter"},
    ],
    ids=str,
)
def test_by_name(
    named: dict[str, Any], fresh_logging: logging.Logger, written: Any, lines: Callable[[], list[Any]]
) -> None:
    """`dictConfig` takes the formatter by name, in both of its forms, with options."""
    handler = {"class": "logging.StreamHandler", "formatter": "json", "stream": written}
    logger = {"handlers": ["h"], "level": "INFO", "propagate": False}
    setup = {"formatters": {"json": named}, "handlers": {"h": handler}, "loggers": {fresh_logging.name: logger}}
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, **setup})
    fresh_logging.info("hello there")
    (line,) = lines()
    assert line["message"] == ("hello… (cut, 11 characters)" if "max_message_chars" in named else "hello there")
    assert line.get("service") == named.get("defaults", {}).get("service")


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(plain, st.text(st.characters()))
@example({"a": [1e16, 1e-5, 1.5e300, 5e-324, 0.0001, 6.1e-05, 123456789012345680.0, -0.0]}, "1e5")
@example({"\x7f\x80\u2028\x00\x1f": "\x7f\x80\u2028\x00\x1f/\\"}, "")
def test_same_output(value: Any, message: str) -> None:
    """With orjson and without, the bytes are the same."""
    made = masking.mask(value)
    quick, record = _encoding._quick, logging.makeLogRecord({"msg": message, "field": value, "created": 1e9})
    assert quick is not None
    first, first_line = _encoding.encode(made), logs.JsonFormatter().format(record)
    _encoding._quick = None
    try:
        assert _encoding.encode(made) == first
        assert logs.JsonFormatter().format(record) == first_line
    finally:
        _encoding._quick = quick
    assert json.loads(first) == json.loads(json.dumps(made))
    assert json.loads(first_line)["field"] == json.loads(first)
    assert "\n" not in first_line


def test_without_orjson() -> None:
    """Where orjson is not installed the standard library does it."""
    code = (
        "import sys; sys.modules['orjson'] = None\n"
        "import logging; from otel_session.logs import JsonFormatter, _encoding\n"
        "assert _encoding._quick is None\n"
        "record = logging.makeLogRecord({'msg': 'hello', 'items': [1, 'ü', None]})\n"
        "print(JsonFormatter(ascii_only=True).format(record))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert json.loads(done.stdout)["items"] == [1, "ü", None], done.stderr
