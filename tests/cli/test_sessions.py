"""`otel-session sessions`, over real stores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from otel_session import attributes as names
from otel_session.cli import main
from otel_session.cli._text import columns
from otel_session.cli._units import duration, offset, parse_span, utc_text
from tests.cli._samples import MS, START_NS, WARN, Visit, believable_visit, resource, stored

FIRST, SECOND = "a1b2c3d4e5f60718293a4b5c6d7e8f90", "0f9e8d7c6b5a49382716f5e4d3c2b1a0"
MINUTE_NS = 60_000 * MS


@pytest.fixture(autouse=True)
def _central_europe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    monkeypatch.delenv("COLUMNS", raising=False)
    time.tzset()


def once(number: int) -> Visit:
    visit = Visit(f"{number:032x}", start_ns=START_NS + number, confirmed=False)
    visit.request("GET", "/healthz", 0, 1)
    return visit


def listed(capsys: pytest.CaptureFixture[str], store: Path, *arguments: str) -> str:
    assert main(["sessions", "--store", str(store), *arguments]) == 0
    return capsys.readouterr().out


def test_the_session_last_active_stands_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sessions are listed by their last activity, not by their beginning or the order they were written in."""
    late, early = Visit(SECOND, start_ns=START_NS - MINUTE_NS), Visit(FIRST)
    late.request("GET", "/", 0, 10 * 60_000)
    early.request("GET", "/", 0, 1)
    lines = listed(capsys, stored(tmp_path / "t.db", late, early)).splitlines()
    assert [line.split()[0] for line in lines] == ["session", SECOND, FIRST]


def test_a_row_tells_what_was_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row shows id, local start, length, requests, failed requests, statements, log lines, errors, build, service."""
    store = stored(tmp_path / "t.db", believable_visit(FIRST))
    heading, row = listed(capsys, store).splitlines()
    assert " ".join(heading.split()) == (
        "session started length requests errors statements log lines log errors build service"
    )
    assert row.split() == [
        *(FIRST, "2025-11-21", "09:12:03", "3", "min", "12", "s"),
        *("8", "1", "60", "7", "1", "512fbfe", "main", "deals"),
    ]


def test_json_has_stable_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` is one document; times are in UTC and local, counts are numbers, unknown values are null."""
    document = json.loads(listed(capsys, stored(tmp_path / "t.db", believable_visit(FIRST), once(1)), "--json"))
    assert document == {
        "sessions": [
            {
                "session_id": FIRST,
                "short_id": "a1b2c3d4",
                "confirmed": True,
                "started_utc": "2025-11-21T08:12:03.000000Z",
                "started_local": "2025-11-21T09:12:03+01:00",
                "last_activity_utc": "2025-11-21T08:15:15.414100Z",
                "length_s": 192.414,
                "requests": 8,
                "failed_requests": 1,
                "statements": 60,
                "spans": 70,
                "log_lines": 7,
                "error_log_lines": 1,
                "events": 1,
                "access_lines": 0,
                "users": [],
                "services": ["deals"],
                "builds": [
                    {
                        "service": "deals",
                        "service_version": None,
                        "commit": "512fbfe",
                        "revision": "512fbfe0c1d2e3f4",
                        "branch": "main",
                        "date": "2025-11-20 07:26:50 UTC",
                        "dirty": None,
                    }
                ],
            }
        ],
        "unconfirmed": 1,
        "more": False,
    }


def test_clients_that_came_once_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unconfirmed sessions are counted, not listed; `--all` lists and marks them instead."""
    store = stored(tmp_path / "t.db", believable_visit(FIRST), *map(once, range(12)))
    lines = listed(capsys, store).splitlines()
    assert len(lines) == 3
    assert lines[-1] == "and 12 clients that came once (probes, scrapers, API calls): --all shows them"
    lines = listed(capsys, store, "--all").splitlines()
    assert len(lines) == 14
    assert sum(line.endswith("came once") for line in lines) == 12


def test_one_client_that_came_once_is_singular(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The count agrees with its noun, and stands alone when nobody came back."""
    out = listed(capsys, stored(tmp_path / "t.db", once(1)))
    assert out.startswith("No sessions yet.\nThe store has 1 span and 0 log records, and a session is listed from")
    assert "otel-session run" not in out
    assert "and 1 client that came once" in out


def test_log_lines_are_the_applications_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Events, access lines and our own logger's lines are no log lines; a server's warnings are. `show` agrees."""
    visit = Visit(FIRST)
    visit.request("GET", "/", 0, 1)
    for logger in ("deals", "deals.views", "werkzeug.shop", "otel_sessions"):
        visit.log(None, "own", 1, logger=logger)
    for logger in ("werkzeug", "gunicorn.access", "uvicorn.access", "hypercorn.access"):
        visit.log(None, "access", 1, logger=logger)
    visit.log(None, "a server's warning", 1, logger="werkzeug", severity=WARN)
    visit.log(None, "ours", 1, logger="otel_session", severity=WARN)
    visit.log(None, "ours", 1, logger="otel_session.exporters")
    visit.log(None, "", 1, event="session.start", logger="otel_session")
    visit.log(None, "", 1, event="order.placed", logger="deals")
    store = stored(tmp_path / "t.db", visit)
    facts = json.loads(listed(capsys, store, "--json"))["sessions"][0]
    assert (facts["log_lines"], facts["events"], facts["access_lines"]) == (5, 2, 4)
    assert main(["show", FIRST, "--json", "--store", str(store)]) == 0
    shown = json.loads(capsys.readouterr().out)["session"]
    assert {key: shown[key] for key in facts} == facts


def test_life_events_are_no_activity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--since`, start, length and order go by what the session did, not by when it was said to start or end."""
    now_ns = time.time_ns()
    idle, late = Visit(FIRST, start_ns=now_ns - 120 * MINUTE_NS), Visit(SECOND, start_ns=now_ns - 90 * MINUTE_NS)
    idle.request("GET", "/", 0, 500)
    idle.log(None, "", 90 * 60_000, event=names.EVENT_SESSION_END)
    idle.log(None, "", -700, event=names.EVENT_SESSION_START)
    late.request("GET", "/", 0, 1)
    store = stored(tmp_path / "t.db", idle, late)
    rows = json.loads(listed(capsys, store, "--json"))["sessions"]
    assert [(row["session_id"], row["length_s"]) for row in rows] == [(SECOND, 0.001), (FIRST, 0.5)]
    assert listed(capsys, store, "--since", "1h") == "No session was active in the last 1 h 00 min.\n"


def test_limit_says_that_there_are_older_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A list cut by `--limit` says so; one that ends there does not."""
    visits = [Visit(f"{n:032x}", start_ns=START_NS + n * MINUTE_NS) for n in range(3)]
    for visit in visits:
        visit.request("GET", "/", 0, 1)
    store = stored(tmp_path / "t.db", *visits)
    assert listed(capsys, store, "--limit", "2").splitlines()[-1].startswith("older ones are stored too: --limit 4")
    assert "older" not in listed(capsys, store, "--limit", "3")
    assert json.loads(listed(capsys, store, "--limit", "2", "--json"))["more"] is True


def test_since_leaves_out_what_is_older(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--since 1h` lists sessions active in the last hour, and counts clients that came once in it."""
    recent = Visit(FIRST, start_ns=time.time_ns() - 20 * MINUTE_NS)
    recent.request("GET", "/", 0, 1)
    store = stored(tmp_path / "t.db", recent, believable_visit(SECOND), once(1))
    out = listed(capsys, store, "--since", "1h")
    assert FIRST in out
    assert SECOND not in out
    assert "came once" not in out
    assert listed(capsys, store, "--since", "5m") == "No session was active in the last 5 min 00 s.\n"


def test_an_empty_store_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store without sessions names the command that fills it."""
    assert "otel-session run -- flask" in listed(capsys, stored(tmp_path / "t.db"))
    assert json.loads(listed(capsys, tmp_path / "t.db", "--json")) == {"sessions": [], "unconfirmed": 0, "more": False}


def test_a_missing_store_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path without a file is an error that names the path and the command that makes one."""
    assert main(["sessions", "--store", str(tmp_path / "none.db")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"no telemetry file {tmp_path / 'none.db'}" in captured.err
    assert f"OTEL_SESSION_STORE={tmp_path / 'none.db'} otel-session run -- flask" in captured.err
    assert "up to 5 s after it happened" in captured.err
    assert not (tmp_path / "none.db").exists()


def test_a_missing_store_may_be_because_of_an_endpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an OTLP endpoint set, the message says that telemetry goes there, and how to keep it here too."""
    monkeypatch.setattr("otel_session.config._active", None)
    monkeypatch.setenv("OTEL_SESSION_STORE", str(tmp_path / "none.db"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:password@collector:4318")
    assert main(["sessions"]) == 1
    err = capsys.readouterr().err
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set: telemetry goes there." in err
    assert "\nOTEL_TRACES_EXPORTER=otlp,otel_session_local OTEL_LOGS_EXPORTER=otlp,otel_session_local" in err
    assert "password" not in err
    assert "otel-session run" not in err


def test_the_configured_store_is_the_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `--store` the file of the configuration in force is read."""
    monkeypatch.setattr("otel_session.config._active", None)
    monkeypatch.setenv("OTEL_SESSION_STORE", str(stored(tmp_path / "t.db", believable_visit(FIRST))))
    assert main(["sessions"]) == 0
    assert FIRST in capsys.readouterr().out


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Lines fit into `COLUMNS`; whole ids are shown where they fit, else what log lines carry."""
    monkeypatch.setenv("COLUMNS", str(width))
    outside = Visit("user@example.com", build=resource("报告服务", branch="feature/very-long-branch-name-indeed"))
    outside.request("GET", "/", 0, 1)
    out = listed(capsys, stored(tmp_path / "t.db", believable_visit(FIRST), outside, once(1)), "--all")
    assert max(map(columns, out.splitlines())) <= width
    assert (FIRST in out) == (width == 200)
    assert "a1b2c3d4" in out


def test_the_width_can_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--width` wins over the terminal's width, and a pipe's lack of one."""
    out = listed(capsys, stored(tmp_path / "t.db", believable_visit(FIRST)), "--width", "80")
    assert max(map(columns, out.splitlines())) <= 80


def test_names_from_outside_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Control and bidirectional characters in ids, services and branches are written out."""
    visit = Visit("x\x1b[2Jy", build=resource("evil\nservice", branch="a\u202eb\x07"))
    visit.request("GET", "/", 0, 1)
    out = listed(capsys, stored(tmp_path / "t.db", visit))
    assert out.replace("\n", "").isprintable()
    assert "x\\x1b[2Jy" in out
    assert "evil\\nservice" in out
    assert "a\\u202eb\\x07" in out


def test_a_session_over_two_builds_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest build is shown, with the number of those before; workers of one build count once."""
    visits = [
        Visit(FIRST, start_ns=START_NS + number * MINUTE_NS, build=build)
        for number, build in enumerate(
            [
                resource(commit="1111111aaaa"),
                resource(commit="1111111aaaa", **{"process.pid": "7"}),
                resource(commit="2222222bbbb"),
            ]
        )
    ]
    for visit in visits:
        visit.request("GET", "/", 0, 1)
    assert "2222222 main (+1 before)" in listed(capsys, stored(tmp_path / "t.db", *visits))


def test_a_missing_build_stamp_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A resource without commit and branch reads as what is missing."""
    visit = Visit(FIRST, build=resource(commit="", branch=""))
    visit.request("GET", "/", 0, 1)
    assert "no build stamp  deals" in listed(capsys, stored(tmp_path / "t.db", visit))


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """`| head -1` gets its line; the command ends with 0 and says nothing."""
    visits = [Visit(f"{n:032x}", start_ns=START_NS + n) for n in range(2_000)]
    for visit in visits:
        visit.request("GET", "/", 0, 1)
    store = stored(tmp_path / "t.db", *visits)
    command = [sys.executable, "-m", "otel_session", "sessions", "--limit", "2000", "--store", str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("session")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_a_terminal_without_our_signs_gets_others(tmp_path: Path) -> None:
    """An ASCII terminal gets ASCII instead of an error."""
    visit = Visit(FIRST, build=resource("größe", branch="—→é"))
    visit.request("GET", "/", 0, 1)
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "otel_session", "sessions", "--store", str(stored(tmp_path / "t.db", visit))]
    out = subprocess.run(command, env=environ, capture_output=True, check=True).stdout.decode("ascii")
    assert "gr\\xf6\\xdfe" in out
    assert "-->\\xe9" in out


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [("90s", 90), ("30m", 1_800), ("1h", 3_600), ("2d", 172_800), ("1h30m", 5_400), ("1w", 604_800)],
)
def test_time_spans_are_read(text: str, expected_s: int) -> None:
    """A time span is numbers with units."""
    assert parse_span(text) == expected_s * 1_000 * MS


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1.5h", "1 h", "1y", "1h\n", "٣h" * 20])
def test_a_wrong_time_span_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no time span is refused with an example of one."""
    with pytest.raises(SystemExit) as stopped:
        main(["sessions", "--store", str(tmp_path / "t.db"), f"--since={text}"])
    assert stopped.value.code == 2
    assert "is not a time span; write for example 30m, 1h, 2d" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1", "x", "1e3", "99999999"])
def test_a_wrong_limit_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit is a whole number from 1 to a million."""
    with pytest.raises(SystemExit):
        main(["sessions", f"--limit={text}"])
    assert "is not a whole number from 1 to 1000000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 µs"),
        (640, "640 ns"),
        (812_000, "812 µs"),
        (999_499, "999 µs"),
        (999_500, "1.00 ms"),
        (9_994_000, "9.99 ms"),
        (9_996_000, "10.0 ms"),
        (12_345_678, "12.3 ms"),
        (99_960_000, "100 ms"),
        (999_499_999, "999 ms"),
        (999_500_000, "1.00 s"),
        (1_240_000_000, "1.24 s"),
        (59_949_000_000, "59.9 s"),
        (59_950_000_000, "1 min 00 s"),
        (125_000_000_000, "2 min 05 s"),
        (3_599_600_000_000, "1 h 00 min"),
        (3_720_000_000_000, "1 h 02 min"),
        (86_390_000_000_000, "1 d 00 h"),
        (273_600_000_000_000, "3 d 04 h"),
        (-3_000_000, "-3.00 ms"),
    ],
)
def test_durations_read_well(ns: int, text: str) -> None:
    """Durations have three digits or two units, also at the borders between units."""
    assert duration(ns) == text


def test_offsets_and_far_times() -> None:
    """Offsets cut rather than round; a moment outside the calendar is the calendar's end, not an error."""
    assert [offset(s * 1_000 * MS) for s in (0, 121, 3_723, 180_000)] == [
        "+0:00.000",
        "+2:01.000",
        "+1:02:03",
        "+2d 02:00",
    ]
    assert offset(-1_950 * MS) == "-0:01.950"
    assert utc_text(2**63 - 1).startswith("2262-")
    assert utc_text(2**64 - 1).startswith("2554-")
    assert utc_text(10**22).startswith("9999-")
