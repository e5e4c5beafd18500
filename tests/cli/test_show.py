"""`otel-session show`, over real stores."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags

from otel_session import attributes as names
from otel_session.cli import main, show
from otel_session.cli._text import columns
from otel_session.ids import short_id
from otel_session.store.decode import decode_log, decode_span
from tests.cli._samples import (
    CLIENT,
    ERROR,
    MS,
    SERVER,
    START_NS,
    WARN,
    Visit,
    believable_visit,
    exception,
    exception_event,
    pairs,
    resource,
    stored,
)

ID = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
HOSTILE = "\x1b[2J\x1b]0;owned\x07 a\r\nb\tc \u202egnp.exe\u2066 \u200b\x9b31m \x00 \u2028 end"


@pytest.fixture(autouse=True)
def _central_europe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    monkeypatch.delenv("COLUMNS", raising=False)
    time.tzset()


@pytest.fixture
def shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Stores visits and gives what `show` prints of the first."""

    def show_it(*visits: Visit, also: tuple[str, ...] = ()) -> str:
        store = tmp_path / "t.db"
        if visits:
            stored(store, *visits)
        wanted = visits[0].session_id if visits else ID
        assert main(["show", wanted or "", "--store", str(store), *also]) == 0
        return capsys.readouterr().out

    return show_it


def refused(capsys: pytest.CaptureFixture[str], store: Path, typed: str) -> str:
    assert main(["show", typed, "--store", str(store)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def line_with(out: str, words: str) -> str:
    found = [line for line in out.splitlines() if words in line]
    assert len(found) == 1, (words, found)
    return found[0]


SMALL = """\
Session  a1b2c3d4e5f60718293a4b5c6d7e8f90
  previous  0f9e8d7c6b5a49382716f5e4d3c2b1a0
  user      7c0ffee
  when      2025-11-21 09:12:03 – 09:12:05 CET, 2.01 s
  service   deals
  build     512fbfe (main) 2025-11-20 07:26:50 UTC
  requests  2, ✗ 1 failed, ! 1 slow
  database  5 statements
  logs      3 lines, 1 error

          at        took
   +0:00.000              session.start
!  +0:00.000      412 ms  GET /deals/<int:deal_id> → 200  req_000000000001
                          │  319 ms database (77 %: SELECT deal 310 ms),
                          │  92.7 ms own code (22 %)
!    1.00 ms      310 ms  ├─ SELECT deal
                          │     SELECT * FROM deal WHERE id = %s
      312 ms     9.30 ms  ├─ ×4 SELECT note  9.30 ms total  slowest 2.33 ms
      330 ms              └─ WARN  slow deal  deals.views
   +0:01.000              INFO  between requests  deals.jobs
✗  +0:02.000     10.0 ms  POST /deals → 500  req_000000000002
                          │  ValueError: no such stage
✗    4.00 ms              └─ ERROR Exception on /deals [POST]  deals
                             ValueError: no such stage

--full shows every statement, whole messages, stack traces and SQL
"""


def small_visit() -> Visit:
    visit = Visit(ID)
    known = {names.USER_HASH: "7c0ffee", names.SESSION_PREVIOUS_ID: "0f9e8d7c6b5a49382716f5e4d3c2b1a0"}
    visit.log(None, "", -600, event=names.EVENT_SESSION_START, attributes=known)
    page = visit.request("GET", "/deals/<int:deal_id>", 0, 412, attributes={names.CORRELATION_ID: "req_000000000001"})
    visit.statement(page, "SELECT deal", 1, 310)
    for number in range(4):
        visit.statement(page, "SELECT note", 312 + 3 * number, 2.325)
    visit.log(page, "slow deal", 330, severity=WARN)
    visit.log(None, "between requests", 1_000, logger="deals.jobs")
    page = visit.request("POST", "/deals", 2_000, 10, status=500, attributes={names.CORRELATION_ID: "req_000000000002"})
    failure = exception("ValueError", "no such stage\nsecond line", "Traceback (most recent call last):\n  ...")
    visit.log(page, "Exception on /deals [POST]", 2_004, severity=ERROR, logger="deals", attributes=failure)
    return visit


def test_a_session_in_eighty_columns(shown: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who, when, which build, how much; then requests in time order with statements, log lines and errors in them."""
    monkeypatch.setenv("COLUMNS", "80")
    assert shown(small_visit()) == SMALL


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("more", [(), ("--full",)])
def test_no_line_is_wider_than_the_terminal(
    shown: Callable[..., str], monkeypatch: pytest.MonkeyPatch, width: int, more: tuple[str, ...]
) -> None:
    """Lines fit into `COLUMNS`, wide characters counted as two."""
    monkeypatch.setenv("COLUMNS", str(width))
    visit = believable_visit(ID)
    page = visit.request("GET", "/报告/" + "很长" * 60, 200_000, 800, status=500)
    visit.log(page, "日志消息 " * 80 + "\n👩‍👩‍👧 " + "e\u0301" * 300, 200_100, severity=ERROR, logger="日志")
    visit.statement(page, "SELECT " + "表" * 100, 200_200, 500, error=True, attributes={names.ERROR_TYPE: "長" * 50})
    out = shown(visit, also=more)
    assert max(map(columns, out.splitlines())) <= width


def test_a_pipe_gets_whole_lines(shown: Callable[..., str]) -> None:
    """Without a terminal nothing is cut: `grep` finds a correlation id, a path, the end of a message."""
    visit = believable_visit(ID)
    visit.log(visit.spans[2], "word " * 200 + "the end", 4_300)
    out = shown(visit)
    assert "the end" in out
    assert "/deals/17" in out


def test_wide_terminals_show_the_clock_and_bars(shown: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """From 120 columns on requests have their clock time, from 160 on entries a bar and statements their SQL."""
    monkeypatch.setenv("COLUMNS", "120")
    line = line_with(shown(believable_visit(ID)), "  GET /reports/broken → 500  req_")
    assert line.startswith("✗ 09:15:15.400   +3:12.400     14.1 ms  ")
    monkeypatch.setenv("COLUMNS", "160")
    line = line_with(shown(), "─ SELECT pg_sleep")
    assert re.search(r"801 ms  █{13} +├─ SELECT pg_sleep  SELECT \* FROM pg_sleep", line)


def test_statements_in_a_row_are_folded(shown: Callable[..., str]) -> None:
    """Three or more equal statements become one line; five or more SELECTs are suspected to be one per row."""
    out = shown(believable_visit(ID))
    assert line_with(out, "SELECT note").endswith("└─ ×12 SELECT note  13.2 ms total (N+1?)  slowest 1.10 ms")
    assert "×26 SELECT position" in out
    assert "×14 SELECT user" in out


def test_full_unfolds(shown: Callable[..., str]) -> None:
    """`--full` shows each statement with its SQL, whole messages, stack traces, and no hint at itself."""
    visit = believable_visit(ID)
    visit.log(visit.spans[0], "first line\nsecond line", 2)
    out = shown(visit, also=("--full",))
    assert out.count("─ SELECT note\n") == 12
    assert out.count("SELECT * FROM note WHERE id = %s") == 12
    assert "second line" in out
    assert 'File "reports.py", line 58' in out
    assert "--full" not in out
    assert "(+1 line)" in shown()


def test_only_equal_statements_without_anything_between_are_folded(shown: Callable[..., str]) -> None:
    """A log line or a failed statement ends a run; statements of other text are not counted in."""
    visit = Visit(ID)
    page = visit.request("GET", "/", 0, 1_000)
    for number in range(2):
        visit.statement(page, "SELECT a", 1 + number, 0.5)
    visit.log(page, "between", 3.5)
    for number in range(2):
        visit.statement(page, "SELECT a", 4 + number, 0.5)
    visit.statement(page, "SELECT a", 300, 1, error=True)
    visit.statement(page, "SELECT a", 302, 1, attributes={names.DB_QUERY_TEXT: "SELECT a.x FROM a"})
    visit.statement(page, "SELECT a", 304, 1)
    visit.statement(page, "SELECT a", 306, 1)
    out = shown(visit)
    assert "─ ×" not in out
    assert out.count("─ SELECT a") == 8


def test_log_lines_stand_in_their_span_in_time_order(shown: Callable[..., str]) -> None:
    """A record stands under its span between that span's children; without a stored span, under its trace's root."""
    visit = Visit(ID)
    page = visit.request("GET", "/", 0, 100)
    inner = visit.span("work", 10, 50, parent=page)
    visit.log(inner, "in work", 20)
    visit.log(page, "before work", 5)
    visit.log(page, "after work", 70)
    visit.statement(inner, "SELECT a", 30, 1)
    lost = visit.span("never stored", 80, 1, parent=page)
    visit.log(lost, "of a lost span", 80)
    visit.spans.remove(lost)
    tree = [line[26:] for line in shown(visit, also=("--width", "80")).splitlines() if "─ " in line]
    assert tree == [
        "├─ INFO  before work  deals.views",
        "├─ work",
        "│  ├─ INFO  in work  deals.views",
        "│  └─ SELECT a",
        "├─ INFO  after work  deals.views",
        "└─ INFO  of a lost span  deals.views",
    ]


def test_a_slow_request_says_where_its_time_went(shown: Callable[..., str]) -> None:
    """Overlapping statements count once, calls to others and the session store are told apart from own code."""
    visit = Visit(ID)
    page = visit.request("GET", "/", 0, 1_000)
    visit.statement(page, "SELECT a", 0, 300)
    visit.statement(page, "SELECT b", 100, 300)
    load = visit.span(names.SPAN_APP_SESSION_LOAD, 500, 100, parent=page)
    visit.statement(load, "SELECT sessions", 500, 40)
    call = visit.span("GET", 600, 200, parent=page, kind=CLIENT)
    served = visit.request("GET", "/inner", 610, 150, parent=call)
    visit.statement(served, "SELECT of_another", 620, 100)
    visit.statement(page, "SELECT late", 2_000, 500)
    out = shown(visit)
    assert (
        "440 ms database (44 %: SELECT late 500 ms), 300 ms own code (30 %), "
        "200 ms calls to other services (20 %), 60.0 ms session store (6 %)"
    ) in out
    times = json.loads(shown(also=("--json",)))["requests"][0]["time_ms"]
    assert times == {"database": 440.0, "session_store": 60.0, "calls": 200.0, "own_code": 300.0}


def test_a_connection_is_no_statement(shown: Callable[..., str]) -> None:
    """A new connection is told with its time, which is the database's; many do not hide which statements repeat."""
    visit = Visit(ID)
    page = visit.request("GET", "/", 0, 1_000)
    database = {names.DB_SYSTEM_NAME: "postgresql"}
    visit.span("connect", 100, 400, parent=page, kind=CLIENT, attributes=database)
    for number in range(5):
        visit.statement(page, "SELECT a", 510 + 10 * number, 5)
        visit.span("connect", 515 + 10 * number, 5, parent=page, kind=CLIENT, attributes=database)
    failed = {**database, names.ERROR_TYPE: "psycopg2.OperationalError"}
    visit.span("connect", 700, 1, parent=page, kind=CLIENT, attributes=failed, error=True)
    out = shown(visit)
    assert "  database  5 statements\n" in out
    assert "451 ms database (45 %: 5 statements)" in out
    assert line_with(out, "×6 connect").endswith("─ ×6 connect  425 ms total  slowest 400 ms")
    assert "×5 SELECT a  25.0 ms total (N+1?)" in out
    assert line_with(out, "Operational").endswith("connect  psycopg2.OperationalError")


def test_what_is_slow_can_be_said(shown: Callable[..., str]) -> None:
    """`--slow` moves the border; what a request waits for is slow at a third of it, repeated statements together."""
    out = shown(believable_visit(ID))
    assert "! 1 slow" in out
    assert line_with(out, "─ ×26 SELECT position").startswith("!")
    assert line_with(out, "─ ×14 SELECT user").startswith(" ")
    out = shown(also=("--slow", "10ms"))
    assert "! 5 slow" in out
    assert line_with(out, "─ ×14 SELECT user").startswith("!")
    assert "!" not in shown(also=("--slow", "1h"))


def test_errors_and_slow_requests_are_listed_first(shown: Callable[..., str]) -> None:
    """In a longer session the errors stand above the timeline, with their causes, then what was slow."""
    out = shown(believable_visit(ID))
    first = out.split("Look here first\n")[1].split("\n\n")[0].splitlines()
    assert first == [
        "✗  +3:12.400     14.1 ms  GET /reports/broken → 500  ZeroDivisionError: division by zero",
        "!  +1:00.000      1.24 s  GET /reports/slow → 200  "
        "1.01 s database (81 %: SELECT pg_sleep 801 ms), 227 ms own code (18 %)",
    ]


def test_error_records_of_successful_requests_are_listed_first_too(shown: Callable[..., str]) -> None:
    """An error that somebody swallowed is not lost in the timeline, nor one outside of any request."""
    visit = believable_visit(ID)
    visit.log(visit.spans[3], "mail not sent", 4_305, severity=ERROR, attributes=exception("SMTPError", "refused"))
    visit.log(None, "cache is gone", 70_000, severity=ERROR)
    first = shown(visit).split("Look here first\n")[1].split("\n\n")[0]
    assert "GET /deals → 200  ERROR mail not sent  SMTPError: refused" in first
    assert "ERROR cache is gone" in first


@pytest.mark.parametrize("where", ["event", "log", "status", "statement", "type"])
def test_a_failed_request_says_why(shown: Callable[..., str], where: str) -> None:
    """The cause is the request's exception, else an error record's, else a failed statement, else its error type."""
    visit = Visit(ID)
    events = [exception_event(5, "app.Broken", "first\nsecond")] if where == "event" else []
    named = {names.ERROR_TYPE: "app.Broken"} if where == "type" else {names.ERROR_TYPE: "500"}
    if where == "status":
        page = visit.span("job", 0, 10, kind=SERVER, error=True, message="app.Broken: first", flags=2)
    else:
        page = visit.request("GET", "/", 0, 10, status=500, events=events, attributes=named)
    if where == "log":
        visit.log(page, "failed", 5, severity=ERROR, attributes=exception("app.Broken", "first\nsecond"))
    if where == "statement":
        code = {names.ERROR_TYPE: "app.Broken", names.DB_RESPONSE_STATUS_CODE: "23505"}
        visit.statement(page, "INSERT a", 2, 1, error=True, attributes=code)
    out = shown(visit)
    expected = {"type": "app.Broken", "statement": "app.Broken (23505)"}.get(where, "app.Broken: first")
    assert f"  {expected}\n" in out
    assert json.loads(shown(also=("--json",)))["requests"][0]["cause"] == expected


def test_a_caught_error_marks_its_request(shown: Callable[..., str]) -> None:
    """A request that answered well though an error was logged in it has its mark in the row, as it is listed first."""
    visit = believable_visit(ID)
    inner = visit.span("send_mail", 4_301, 1, parent=visit.spans[3])
    visit.log(inner, "mail not sent", 4_302, severity=ERROR)
    out = shown(visit)
    rows = [line for line in out.splitlines() if "GET /deals → 200" in line]
    assert [row[0] for row in rows] == ["✗", "✗"]
    assert "✗ 1 failed" in out


TRACE = """\
Traceback (most recent call last):
  File "/srv/shop/deals/views/reports.py", line 50, in report
    average()
  File "/srv/.venv/lib/python3.12/site-packages/sqlalchemy/orm/query.py", line 9, in all
  File "/srv/shop/deals/views/reports.py", line 57, in broken
    return total / count
           ~~~~~~^~~~~~~
  File "/srv/shop/otel_session/instrumentors/flask/server.py", line 3, in call
  File "/usr/lib/python3.12/statistics.py", line 1, in mean
  File "<string>", line 1, in <lambda>
ZeroDivisionError: division by zero
"""


@pytest.mark.parametrize("where", ["event", "log"])
def test_an_exception_says_where_in_the_own_code(shown: Callable[..., str], where: str) -> None:
    """A cause ends in the last frame outside of libraries, the standard library and this package."""
    visit = believable_visit(ID)
    events = [exception_event(5, "ZeroDivisionError", "no", TRACE)] if where == "event" else []
    page = visit.request("GET", "/broken", 300_000, 10, status=500, events=events)
    if where == "log":
        visit.log(page, "failed", 300_005, severity=ERROR, attributes=exception("ZeroDivisionError", "no", TRACE))
    assert shown(visit).count("ZeroDivisionError: no at deals/views/reports.py:57 in broken\n") == 2


def test_a_short_path_can_be_opened(shown: Callable[..., str]) -> None:
    """A path of three parts or fewer is told whole, with its slash."""
    visit = Visit(ID)
    trace = 'File "/srv/shop/app.py", line 16, in boom'
    visit.request("GET", "/", 0, 10, status=500, events=[exception_event(5, "ValueError", "no", trace)])
    assert "  ValueError: no at /srv/shop/app.py:16 in boom\n" in shown(visit)


def test_a_detached_instance_is_told_with_what_to_change(shown: Callable[..., str]) -> None:
    """The cause is the place and our advice; SQLAlchemy's words, with an address and a link, stay in its log line."""
    visit = Visit(ID)
    words = "Parent instance <Author at 0x7f> is not bound (Background on this error at: https://sqlalche.me/e/21/bhk3)"
    failure = exception_event(
        5, "sqlalchemy.orm.exc.DetachedInstanceError", words, 'File "/srv/shop/app.py", line 16, in x'
    )
    page = visit.request("GET", "/", 0, 10, status=500, events=[failure])
    advice = "Author.books was read after its ORM session was closed. Load it with the query."
    visit.log(page, advice, 4, severity=WARN, event=names.EVENT_DETACHED_INSTANCE, logger="otel_session")
    told = shown(visit)
    assert f"  DetachedInstanceError at /srv/shop/app.py:16 in x  {advice}\n" in told
    assert "sqlalche.me" not in told


@pytest.mark.parametrize("trace", ["", "no frames", 'File "/usr/lib/python3.12/a.py", line 1, in x', 'File "'])
def test_without_own_frames_there_is_no_place(shown: Callable[..., str], trace: str) -> None:
    """A stack trace of libraries alone, or of nothing known, adds nothing to the cause."""
    visit = Visit(ID)
    visit.request("GET", "/", 0, 10, status=500, events=[exception_event(5, "ValueError", "no", trace)])
    assert "  ValueError: no\n" in shown(visit)


def test_failed_and_slowest_statements_show_their_text(
    shown: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a request's slowest slow statement and each failed one stands its SQL, on one line that fits."""
    monkeypatch.setenv("COLUMNS", "80")
    visit = Visit(ID)
    page = visit.request("GET", "/", 0, 1_000)
    sql = {names.DB_QUERY_TEXT: "SELECT slow,\n  " + "x, " * 50}
    visit.statement(page, "SELECT slow", 1, 500, attributes=sql)
    visit.statement(page, "SELECT less", 502, 400)
    visit.statement(page, "SELECT quick", 903, 1)
    visit.statement(page, "INSERT bad", 905, 1, error=True)
    lines = shown(visit).splitlines()
    under = {line.split("─ ")[1].split("  ")[0]: below for line, below in itertools.pairwise(lines) if "─ " in line}
    assert "SELECT slow, x, x, x," in under["SELECT slow"]
    assert len(under["SELECT slow"]) == 80
    assert under["INSERT bad"].endswith("   INSERT * FROM bad WHERE id = %s")
    assert sum("FROM" in line for line in lines) == 1


def test_a_request_names_its_view_function(shown: Callable[..., str]) -> None:
    """The function that served a request stands behind it where there is room."""
    visit = Visit(ID)
    visit.request("GET", "/deals", 0, 1, attributes={names.CODE_FUNCTION_NAME: "deals.views.list_deals"})
    assert line_with(shown(visit), "GET /deals → 200").endswith("  deals.views.list_deals")
    assert "list_deals" not in shown(also=("--width", "60"))


@pytest.mark.parametrize(
    ("date", "said"),
    [
        ("2026-11-21T01:32:42.123456+00:00", "2026-11-21 01:32:42 UTC"),
        ("2026-11-21T02:32:42+01:00", "2026-11-21 01:32:42 UTC"),
        ("2026-11-21T01:32:42Z", "2026-11-21 01:32:42 UTC"),
        ("2026-11-21 01:32:42 UTC", "2026-11-21 01:32:42 UTC"),
        ("yesterday", "yesterday"),
    ],
)
def test_build_dates_are_in_utc_to_the_second(shown: Callable[..., str], date: str, said: str) -> None:
    """A date with a time zone is shown in UTC; one that is none is shown as it is."""
    visit = Visit(ID, build=resource(**{names.BUILD_DATE: date}))
    visit.request("GET", "/", 0, 1)
    assert f"  build     512fbfe (main) {said}\n" in shown(visit)


def test_life_events_do_not_stretch_a_session(shown: Callable[..., str]) -> None:
    """Start and end events far outside of the activity are shown at its edges; `--json` has their own times."""
    visit = Visit(ID)
    visit.log(None, "", 9_000_000, event=names.EVENT_SESSION_END)
    visit.request("GET", "/", 0, 10)
    visit.request("GET", "/", 1_000, 500)
    visit.log(None, "", -800, event=names.EVENT_SESSION_START)
    out = shown(visit)
    assert ", 1.50 s\n" in out
    rows = [line.split() for line in out.splitlines() if " +0:0" in line]
    assert [(row[1], row[-1]) for row in rows if "session." in row[-1]] == [
        ("+0:00.000", "session.start"),
        ("+0:01.500", "session.end"),
    ]
    assert "session.start" in rows[0]
    document = json.loads(shown(also=("--json",)))
    assert document["session"]["length_s"] == 1.5
    assert [log["time_unix_nano"] - START_NS for log in document["logs"]] == [-800 * MS, 9_000_000 * MS]


def test_an_exception_is_told_once(shown: Callable[..., str]) -> None:
    """An exception that is both an event of the span and a log record of it is one line."""
    visit = Visit(ID)
    page = visit.request("GET", "/", 0, 10, status=500, events=[exception_event(5, "ValueError", "no")])
    visit.log(page, "failed", 5, severity=ERROR, attributes=exception("ValueError", "no"))
    visit.span("checkpoint", 6, 1, parent=page, events=[Span.Event(time_unix_nano=START_NS, name="cache.miss")])
    out = shown(visit)
    assert out.count("ValueError: no") == 2  # as the request's cause, and where it was logged
    assert "· cache.miss" in out


def test_hostile_text_cannot_steer_the_terminal(shown: Callable[..., str]) -> None:
    """Control, format and bidirectional characters are written out, wherever they come from."""
    visit = Visit(ID, build=resource(HOSTILE, commit=HOSTILE, branch=HOSTILE))
    page = visit.request(HOSTILE, HOSTILE, 0, 900, status=500, attributes={names.CORRELATION_ID: HOSTILE})
    visit.statement(page, HOSTILE, 1, 1, error=True, attributes={names.ERROR_TYPE: HOSTILE})
    visit.log(page, HOSTILE, 2, severity=ERROR, logger=HOSTILE, attributes=exception(HOSTILE, HOSTILE, HOSTILE))
    visit.log(None, HOSTILE, 3, event=HOSTILE, attributes={names.USER_ID: HOSTILE, names.SESSION_PREVIOUS_ID: HOSTILE})
    visit.span(HOSTILE, 4, 1, events=[exception_event(4, HOSTILE, HOSTILE, HOSTILE)])
    for more in ((), ("--full",), ("--width", "80"), ("--full", "--width", "80")):
        out = shown(visit, also=more) if not more else shown(also=more)
        assert out.replace("\n", "").isprintable()
        assert "\\x1b[2J" in out
    out = shown(also=("--json",))
    assert json.loads(out)["logs"][0]["message"] == HOSTILE
    assert out.replace("\n", "").isprintable()


def test_colours_in_log_messages_are_taken_out(shown: Callable[..., str]) -> None:
    """The development server's access log reads as text, not as written-out colour sequences."""
    visit = Visit(ID)
    visit.log(None, '127.0.0.1 - - "\x1b[31m\x1b[1mPOST /login HTTP/1.1\x1b[0m" 401 -', 0, logger="werkzeug")
    assert '"POST /login HTTP/1.1" 401 -' in shown(visit, also=("--full",))


def test_access_lines_are_left_out_and_counted(shown: Callable[..., str]) -> None:
    """What a web server logs of each request is not shown, its warnings are; --full and --json show all of it."""
    visit = Visit(ID)
    visit.log(None, "GET / 200", 0, logger="werkzeug")
    visit.log(None, "GET / 200", 1, logger="gunicorn.access")
    visit.log(None, "the app's own line", 2, logger="werkzeug.shop")
    out = shown(visit)
    assert "GET / 200" not in out
    assert "the app's own line" in out
    assert "2 access log lines left out" in out
    assert shown(also=("--full",)).count("GET / 200") == 2
    assert len(json.loads(shown(also=("--json",)))["logs"]) == 3


@pytest.mark.parametrize("typed", [ID, ID[:8], f"[{ID[:8]}]", ID[:3], f" {ID[:8]} "])
def test_a_session_is_found_by_what_log_lines_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    """The whole id, its beginning, and the short id with its brackets all mean the session."""
    store = stored(tmp_path / "t.db", believable_visit(ID), believable_visit("f" * 32))
    assert main(["show", typed, "--store", str(store)]) == 0
    assert capsys.readouterr().out.startswith(f"Session  {ID}\n")


def test_an_id_from_outside_is_found_by_its_short_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Log lines show a hash of such ids; it is found, and so is the id itself though another begins with it."""
    store = stored(tmp_path / "t.db", believable_visit("user@example.com"), believable_visit("user@example.com.au"))
    for typed in (short_id("user@example.com"), "user@example.com"):
        assert main(["show", typed, "--store", str(store)]) == 0
        assert capsys.readouterr().out.startswith("Session  user@example.com\n")


def test_an_ambiguous_beginning_lists_the_candidates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each candidate stands with its start and requests; more than ten are counted."""
    visits = [believable_visit(f"ab{n:030x}", start_ns=START_NS + n) for n in range(12)]
    err = refused(capsys, stored(tmp_path / "t.db", *visits, believable_visit("f" * 32)), "ab")
    assert "12 sessions are meant by 'ab'; type more of the one you mean:" in err
    assert err.count("  2025-11-21 09:12:03  8 requests") == 10
    assert "and 2 more" in err
    assert "ffff" not in err


@pytest.mark.parametrize("typed", ["zzz", "%", "_", "' OR 1=1 --", "\udcff", "\x1b[2J", "\U0010ffff"])
def test_an_unknown_beginning_lists_the_newest(tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: str) -> None:
    """What was typed is shown safely, with the sessions there are; wildcards mean nothing."""
    err = refused(capsys, stored(tmp_path / "t.db", believable_visit(ID)), typed)
    assert f"No session begins with {typed!r}, and no request has this correlation id. The newest ones are:" in err
    assert f"  {ID}  2025-11-21 09:12:03  8 requests" in err
    assert err.replace("\n", "").isprintable()


def test_no_session_at_all_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty and a missing store both name the command that fills one."""
    assert "otel-session run -- flask" in refused(capsys, stored(tmp_path / "t.db"), "abc")
    assert "otel-session run -- flask" in refused(capsys, tmp_path / "none.db", "abc")


def test_a_span_without_its_parent_is_a_marked_root(shown: Callable[..., str]) -> None:
    """Spans whose parent is not stored, ran elsewhere, or is their own descendant are shown, and say why."""
    visit = Visit(ID)
    visit.statement(None, "SELECT lost", 1, 1, parent_span_id=b"\x01" * 8)
    visit.request("GET", "/known", 2, 1)
    remote = int(SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
    visit.span("served", 3, 1, kind=SERVER, parent_span_id=b"\x02" * 8, otlp_flags=remote, flags=2)
    here = visit.span("ouroboros", 4, 1)
    visit.spans.remove(here)
    visit.spans.append(type(here)(**{f: getattr(here, f) for f in here.__slots__} | {"parent_span_id": here.span_id}))
    out = shown(visit)
    assert "SELECT lost  (parent not stored)" in out
    assert "served  (called from elsewhere)" in out
    assert "ouroboros  (its own ancestor)" in out
    roots = json.loads(shown(also=("--json",)))["requests"]
    assert [root["orphan"] for root in roots] == ["missing", None, "elsewhere", "loop"]


def test_a_loop_of_parents_is_shown_once(shown: Callable[..., str]) -> None:
    """Two spans that name each other as parent both appear, one under the other."""
    visit = Visit(ID)
    first = visit.span("first", 1, 5)
    second = visit.span("second", 2, 1, parent=first)
    visit.spans.remove(first)
    visit.spans.append(
        type(first)(**{f: getattr(first, f) for f in first.__slots__} | {"parent_span_id": second.span_id})
    )
    out = shown(visit)
    assert line_with(out, "first  (its own ancestor)")
    assert line_with(out, "└─ second")


def test_clocks_that_disagree_do_not_hide_anything(shown: Callable[..., str]) -> None:
    """A child that began before its parent has a negative offset; an end before the start is no negative duration."""
    visit = Visit(ID)
    page = visit.request("GET", "/", 100, 50)
    visit.span("early", 97, 10, parent=page)
    visit.span("backwards", 120, -20, parent=page)
    out = shown(visit)
    assert line_with(out, "├─ early").split()[:4] == ["-3.00", "ms", "10.0", "ms"]
    assert line_with(out, "└─ backwards").split()[:4] == ["20.0", "ms", "0", "µs"]


def test_what_comes_after_the_end_says_so(shown: Callable[..., str]) -> None:
    """Work and log lines of helper threads that outlive the request stand in it, marked."""
    visit = Visit(ID)
    page = visit.request("GET", "/", 0, 10)
    visit.span("in the background", 20, 5, parent=page)
    visit.log(page, "done at last", 30)
    out = shown(visit)
    assert line_with(out, "in the background  (after the end)")
    assert line_with(out, "done at last  (after the end)")


def test_a_deep_tree_has_limits(shown: Callable[..., str]) -> None:
    """Two thousand spans one inside the other are drawn and written as JSON, fifty levels deep."""
    visit = Visit(ID)
    span = None
    for number in range(2_000):
        span = visit.span(f"level {number}", number / 100, 200 - number / 100, parent=span)
    out = shown(visit, also=("--width", "100"))
    assert "50 levels deep" in out
    assert "spans not shown" in out
    assert shown(also=("--width", "100", "--full")).count("level ") == 2_000
    assert shown(also=("--json",)).count('"name": "level ') == 2_000


def test_a_huge_session_is_quick_and_short(shown: Callable[..., str]) -> None:
    """Of 10,500 spans the failed and slowest requests are shown, the rest counted, in well under five seconds."""
    visit = Visit(ID)
    for number in range(500):
        failed = number % 97 == 50
        page = visit.request("GET", f"/page/{number}", number * 1_000, 20 + number % 50, status=500 if failed else 200)
        for at in range(20):
            visit.statement(page, f"SELECT t{at}", number * 1_000 + at, 0.5)
    visit.log(None, "lonely error", 77_500, severity=ERROR)
    started = time.monotonic()
    out = shown(visit, also=("--limit", "30"))
    assert time.monotonic() - started < 10  # five, twice over for a busy machine; the store's writing is in it
    assert [f"/page/{number} → 500" in out for number in (50, 147, 244, 341, 438)] == [True] * 5
    assert "/page/49 → 200" in out
    assert "/page/0 → 200" not in out
    assert "lonely error" in out
    assert re.search(r"… \d+ requests not shown", out)
    assert len(out.splitlines()) < 800
    assert len(json.loads(shown(also=("--json",)))["requests"]) == 500


def test_a_change_of_build_is_visible(shown: Callable[..., str]) -> None:
    """The header has both builds and since when; the timeline has a line where the change shows."""
    before, after = (
        Visit(ID),
        Visit(ID, start_ns=START_NS + 60_000 * MS, build=resource(commit="9a8b7c6d5e", branch="main")),
    )
    for at in (0, 1_000):
        before.request("GET", "/", at, 10)
        after.request("GET", "/", at, 10)
    out = shown(before, after)
    assert "  build     512fbfe (main) 2025-11-20 07:26:50 UTC\n" in out
    assert "  build     9a8b7c6 (main) 2025-11-20 07:26:50 UTC, from +1:00.000\n" in out
    line = line_with(out, "── deals: build 512fbfe (main) 2025-11-20 07:26:50 UTC → 9a8b7c6 (main)")
    assert out.index("+0:01.000") < out.index(line) < out.rindex("GET / → 200")


def test_a_rolling_deploy_does_not_flood(shown: Callable[..., str]) -> None:
    """Two builds that answer in turn: the first change is always shown, the others count against the limit."""
    old, new = Visit(ID), Visit(ID, build=resource(commit="9a8b7c6d5e"))
    for number in range(60):
        (new if number % 2 else old).request("GET", f"/{number}", number, 0.1 + number / 1_000)
    out = shown(old, new, also=("--limit", "10"))
    assert 1 <= out.count("── deals: build") <= 11
    assert "build changes not shown" in out
    assert out.count(", from +0:00.001\n") == 1
    assert shown(also=("--full",)).count("── deals: build") == 59


def test_services_are_named_where_there_are_several(shown: Callable[..., str]) -> None:
    """With two services in a session each request names its own, and a call into another service names that."""
    front, back = Visit(ID), Visit(ID, build=resource("pricing"))
    page = front.request("GET", "/", 0, 50)
    call = front.span("GET", 5, 20, parent=page, kind=CLIENT)
    served = back.request("GET", "/price", 7, 10, parent=call)
    back.statement(served, "SELECT price", 8, 1)
    out = shown(front, back)
    assert "  service   deals, pricing\n" in out
    assert "[deals] GET / → 200" in out
    assert "└─ [pricing] GET /price → 200" in out
    assert "└─ SELECT price" in out


def test_a_damaged_record_hides_nothing_else(shown: Callable[..., str]) -> None:
    """A span or log record whose bytes cannot be decoded is shown from its columns, marked."""
    visit = believable_visit(ID)
    visit.span("torn span", 5_000, 7, error=True, body=b"\xff\xff\xff")
    visit.log(None, "gone", 5_001, severity=ERROR, body=b"\xff\xff\xff")
    out = shown(visit)
    assert line_with(out, "torn span  failed  (damaged record)").startswith("✗")
    assert line_with(out, "ERROR   (damaged record)").startswith("✗")
    assert "GET /reports/broken → 500" in out


def test_older_instrumentations_read_the_same(shown: Callable[..., str]) -> None:
    """Method, path, status and statements are found under the names that came before the stable conventions."""
    visit = Visit(ID)
    old = {"http.method": "GET", "http.target": "/old?q=1", "http.status_code": 503}
    page = visit.span("GET /old", 0, 500, kind=SERVER, error=True, flags=3, attributes=old)
    visit.span(
        "SELECT db", 1, 400, parent=page, kind=CLIENT, attributes={"db.system": "sqlite", "db.statement": "SELECT 1"}
    )
    out = shown(visit)
    assert "GET /old → 503" in out
    assert "400 ms database (80 %: SELECT db), 100 ms own code (20 %)" in out


def test_the_json_document_has_the_keys_it_documents(shown: Callable[..., str]) -> None:
    """Every key of the JSON document stands in the docstring of `show.run`, and the tree nests as the spans do."""
    document = json.loads(shown(believable_visit(ID), also=("--json",)))
    assert list(document) == ["session", "requests", "logs"]
    documented = set(re.findall(r"`(\w+)`", show.run.__doc__ or ""))
    node = document["requests"][1]
    assert set(node) <= documented
    assert set(document["logs"][0]) <= documented
    assert set(node["time_ms"]) <= documented
    assert {"previous_session_id", "users"} <= set(document["session"])
    assert [child["label"] for child in node["children"]] == ["SELECT user"]
    assert [log["message"] for log in node["logs"]] == ["user 3 signed in"]
    assert (node["method"], node["route"], node["status_code"], node["duration_ms"]) == ("POST", "/login", 302, 62.4)
    assert document["logs"][0]["event"] == "session.start"
    assert sum(root["request"] for root in document["requests"]) == document["session"]["requests"] == 8


def test_every_value_has_a_place_in_json(shown: Callable[..., str]) -> None:
    """Bytes, infinities, lists and large numbers of attributes are strict JSON."""
    visit = Visit(ID)
    odd = {"b": b"\x00\xff", "n": float("nan"), "i": float("-inf"), "l": [1, "a", [True]], "big": 2**63 - 1}
    visit.request("GET", "/", 0, 1, attributes=odd)
    visit.log(None, [1, b"\x01"], 0)
    document = json.loads(shown(visit, also=("--json",)), parse_constant=pytest.fail)
    attributes = document["requests"][0]["attributes"]
    assert {key: attributes[key] for key in odd} == {
        "b": "AP8=",
        "n": "NaN",
        "i": "-Infinity",
        "l": [1, "a", [True]],
        "big": 2**63 - 1,
    }
    assert document["logs"][0]["message"] == [1, "AQ=="]


def run_on_terminal(arguments: list[str], **environ: str) -> str:
    """Run the command with a pseudo-terminal as standard output."""
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "otel_session", *arguments]
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    with subprocess.Popen(command, stdout=theirs, env={**clean, "TERM": "xterm", **environ}) as process:
        os.close(theirs)
        read = b""
        try:
            while piece := os.read(ours, 65_536):
                read += piece
        except OSError:  # Linux's way to say that the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    return read.decode()


def test_colours_only_where_they_are_wanted(tmp_path: Path) -> None:
    """Colours need a terminal, no `NO_COLOR`, no `--no-color` and no dumb terminal; the text is the same without."""
    arguments = ["show", ID, "--width", "100", "--store", str(stored(tmp_path / "t.db", believable_visit(ID)))]
    colored = run_on_terminal(arguments)
    assert "\x1b[1;31mGET /reports/broken\x1b[0m" in colored
    assert "\x1b[1;33mGET /reports/slow\x1b[0m" in colored
    plain = run_on_terminal(arguments, NO_COLOR="1")
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[\d;]*m", "", colored).split() == plain.split()
    assert run_on_terminal([*arguments, "--no-color"]) == plain
    assert run_on_terminal(arguments, TERM="dumb") == plain
    assert "\x1b" in run_on_terminal(arguments, NO_COLOR="")  # no-color.org: an empty one says nothing


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """`| head -1` of a long session gets its line; the command ends with 0 and says nothing."""
    visit = Visit(ID)
    for number in range(3_000):
        visit.request("GET", "/a/rather/long/route", number, 1)
    store = stored(tmp_path / "t.db", visit)
    for more in ("--full", "--json"):
        command = [sys.executable, "-m", "otel_session", "show", ID, more, "--store", str(store)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == ""
        assert process.returncode == 0


def test_views_are_plain_data() -> None:
    """A span's and a log record's bytes become hex ids, words for numbers, and dicts of plain values."""
    visit = Visit(ID)
    page = visit.request("GET", "/", 0, 1, status=500, attributes={"list": ["a", 1], "raw": b"\x00"})
    view = decode_span(page)
    assert (view.kind, view.status, view.is_request, view.is_error, view.is_confirmed) == (
        "SERVER",
        "ERROR",
        True,
        True,
        True,
    )
    assert (view.trace_id, view.parent_span_id) == (page.trace_id.hex(), "")
    assert view.attributes["list"] == ["a", 1]
    assert view.attributes["raw"] == b"\x00"
    assert view.resource[names.SERVICE_NAME] == "deals"
    assert view.remote_parent is None
    log = decode_log(visit.log(page, "hello", 1, severity=ERROR, attributes=exception("E", "m")))
    assert (log.level, log.message, log.scope, log.is_error) == ("ERROR", "hello", "deals.views", True)
    assert (log.exception_type, log.exception_message) == ("E", "m")
    event = Span.Event(time_unix_nano=5, name="n", attributes=pairs({"k": "v"}))
    assert decode_span(visit.span("s", 0, 1, events=[event])).events[0].attributes == {"k": "v"}
