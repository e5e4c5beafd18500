"""From what a person knows (a user, an error, a slow page, a path, a correlation id) to the session."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from otel_session import attributes as names
from otel_session.cli import main
from otel_session.ids import keyed_hash
from tests.cli._samples import ERROR, START_NS, Visit, exception, stored

ANNA, BERT, CARL = (f"{letter}" * 32 for letter in "abc")
SECRET = "a secret of sixteen characters"
HASH = keyed_hash("user:anna@example.com", SECRET)
CALLED = "req_be090def4c63"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "OTEL_SESSION_SECRET", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Anna (a hash) waits and gets an error page; Bert (an id) meets a caught error; Carl is nobody, all went well."""
    anna, bert, carl = Visit(ANNA), Visit(BERT, start_ns=START_NS + 1), Visit(CARL, start_ns=START_NS + 2)
    anna.request("GET", "/login", 0, 1)
    anna.request(
        "GET", "/deals/<int:deal_id>", 10, 700, attributes={names.USER_HASH: HASH, names.URL_PATH: "/deals/17"}
    )
    anna.request("POST", "/deals", 800, 5, status=500, attributes={names.USER_HASH: HASH, names.CORRELATION_ID: CALLED})
    page = bert.request("GET", "/reports", 0, 310, attributes={names.USER_ID: "bert", names.CORRELATION_ID: "Client/7"})
    bert.log(page, "mail not sent", 4, severity=ERROR, attributes=exception("SMTPError", "refused"))
    carl.request("GET", "/deals/<int:deal_id>", 0, 20, attributes={names.URL_PATH: "/deals/18"})
    carl.statement(carl.spans[0], "SELECT deal", 1, 900)
    return stored(tmp_path / "t.db", anna, bert, carl)


def found(capsys: pytest.CaptureFixture[str], store: Path, *filters: str) -> list[str]:
    assert main(["sessions", "--json", "--store", str(store), *filters]) == 0
    return sorted(session["session_id"] for session in json.loads(capsys.readouterr().out)["sessions"])


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("bert", [BERT]),
        ("ber", []),
        ("Bert", []),
        (HASH, [ANNA]),
        (HASH.upper(), [ANNA]),
        (HASH[:8], [ANNA]),
        (HASH[:7], []),
        ("anna@example.com", []),
        ("\udcff", []),
        ("", []),
    ],
)
def test_a_user_leads_to_sessions(
    store: Path, capsys: pytest.CaptureFixture[str], who: str, expected: list[str]
) -> None:
    """`--user` takes a whole id, or a hash from its eighth digit on; without the secret an id is no hash."""
    assert found(capsys, store, "--user", who) == expected


def test_the_secret_turns_an_id_into_its_hash(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With OTEL_SESSION_SECRET an id finds the sessions that carry its keyed hash; another secret's does not."""
    monkeypatch.setenv("OTEL_SESSION_SECRET", SECRET)
    assert found(capsys, store, "--user", "anna@example.com") == [ANNA]
    assert found(capsys, store, "--user", "bert") == [BERT]
    monkeypatch.setenv("OTEL_SESSION_SECRET", SECRET + "!")
    assert found(capsys, store, "--user", "anna@example.com") == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--errors"], [ANNA, BERT]),
        (["--slow"], [ANNA, BERT]),
        (["--slow", "500ms"], [ANNA]),
        (["--slow", "1s"], []),
        (["--path", "/deals/17"], [ANNA]),
        (["--path", "/deals/<int"], [ANNA, CARL]),
        (["--path", "SELECT"], []),
        (["--path", "\udcff"], []),
        (["--slow", "--path", "/deals"], [ANNA]),
        (["--slow", "--path", "/login"], []),
        (["--errors", "--user", "bert"], [BERT]),
        (["--path", "/deals", "--user", "bert"], []),
        (["--errors", "--since", "1h"], []),
    ],
)
def test_filters_narrow_the_listing(
    store: Path, capsys: pytest.CaptureFixture[str], filters: list[str], expected: list[str]
) -> None:
    """Each filter is about requests, not statements; together they narrow, path and time on one request."""
    assert found(capsys, store, *filters) == expected


def test_the_limit_counts_what_the_filters_leave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--limit` and the line of clients that came once are about the sessions that match."""
    visits = [Visit(f"{n:032x}", start_ns=START_NS + n, confirmed=n < 10) for n in range(20)]
    for number, visit in enumerate(visits):
        visit.request("GET", "/even" if number % 2 == 0 else "/odd", 0, 1)
    store = stored(tmp_path / "t.db", *visits)
    assert main(["sessions", "--path", "/even", "--limit", "5", "--json", "--store", str(store)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (len(document["sessions"]), document["more"], document["unconfirmed"]) == (5, False, 5)
    assert main(["sessions", "--errors", "--store", str(store)]) == 0
    assert capsys.readouterr().out == "No session like this is stored.\n"


def test_users_stand_in_the_table_when_there_are_any(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ids stand whole, hashes as the digits that `--user` takes; without users there is no column."""
    assert main(["sessions", "--store", str(store)]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    users = {row[:32]: row[34 : heading.index("started")].strip() for row in rows}
    assert users == {ANNA: HASH[:8], BERT: "bert", CARL: ""}
    assert main(["sessions", "--path", "/deals/18", "--store", str(store)]) == 0
    assert "user" not in capsys.readouterr().out


def test_who_came_back_as_another_user_shows_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a session's users the latest is in the table, with the number of the others; `--json` has all."""
    visit = Visit(ANNA)
    for at, user in enumerate(["1", "12", "1", "2"]):
        visit.request("GET", "/", at, 1, attributes={names.USER_ID: user})
    store = stored(tmp_path / "t.db", visit)
    assert main(["sessions", "--store", str(store)]) == 0
    assert "  2 (+2)  " in capsys.readouterr().out
    assert main(["sessions", "--json", "--store", str(store)]) == 0
    assert json.loads(capsys.readouterr().out)["sessions"][0]["users"] == ["1", "12", "2"]


@pytest.mark.parametrize("typed", [CALLED, CALLED.upper(), "req_be09", f"[{CALLED}]"])
def test_a_correlation_id_leads_to_its_request(store: Path, capsys: pytest.CaptureFixture[str], typed: str) -> None:
    """`show` with a request's id shows its session, names the request at the top and marks its row."""
    assert main(["show", typed, "--store", str(store)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Session  {ANNA}\n")
    assert f"  request   {CALLED}  POST /deals → 500, at +0:00.800, 5.00 ms\n" in out
    assert out.count("<- asked for") == 1
    assert f"POST /deals → 500  <- asked for  {CALLED}\n" in out


def test_a_clients_own_request_id_is_taken_as_it_is(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An id that came from outside is found whole and in its own letters only."""
    assert main(["show", "Client/7", "--store", str(store)]) == 0
    assert capsys.readouterr().out.startswith(f"Session  {BERT}\n")
    for typed in ("client/7", "Client"):
        assert main(["show", typed, "--store", str(store)]) == 1
        assert "no request has this correlation id" in capsys.readouterr().err


def test_the_request_asked_for_is_never_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However many failed and slow requests there are, the one asked for is among those shown."""
    visit = Visit(ANNA)
    for at in range(50):
        visit.request("GET", "/bad", at * 1_000, 900, status=500)
    visit.request("GET", "/fine", 60_000, 1, attributes={names.CORRELATION_ID: CALLED})
    assert main(["show", CALLED, "--limit", "3", "--store", str(stored(tmp_path / "t.db", visit))]) == 0
    assert "GET /fine → 200  <- asked for" in capsys.readouterr().out


def test_an_id_in_several_sessions_lists_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A correlation id that two sessions' requests carry is not guessed; one of no session says so."""
    visits = [Visit(session_id) for session_id in (ANNA, BERT, None)]
    for visit, called in zip(visits, ("shared-1", "shared-1", "alone-1"), strict=True):
        visit.request("GET", "/", 0, 1, attributes={names.CORRELATION_ID: called})
    store = stored(tmp_path / "t.db", *visits)
    assert main(["show", "shared-1", "--store", str(store)]) == 1
    err = capsys.readouterr().err
    assert "2 sessions are meant by 'shared-1'" in err
    assert ANNA in err
    assert BERT in err
    assert main(["show", "alone-1", "--store", str(store)]) == 1
    assert "The request 'alone-1' is stored, and it belongs to no session." in capsys.readouterr().err


@pytest.mark.parametrize("typed", [ANNA.upper(), ANNA[:9].upper(), "Aaaa"])
def test_hex_is_taken_in_any_case(store: Path, capsys: pytest.CaptureFixture[str], typed: str) -> None:
    """A session's id may be typed in capitals."""
    assert main(["show", typed, "--store", str(store)]) == 0
    assert capsys.readouterr().out.startswith(f"Session  {ANNA}\n")


@pytest.mark.parametrize("typed", ["", " ", "[]"])
def test_nothing_typed_asks_which(store: Path, capsys: pytest.CaptureFixture[str], typed: str) -> None:
    """An empty word is not searched for: the message says what may be typed and lists the newest."""
    assert main(["show", typed, "--store", str(store)]) == 1
    err = capsys.readouterr().err
    assert "Which session? Give its id, how it begins, or the correlation id of one of its requests.\n" in err
    assert ANNA in err


def test_a_large_store_is_searched_quickly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each search of 70,000 spans takes less than a second, found or not."""
    visits = [Visit(f"{n:032x}", start_ns=START_NS + n) for n in range(10)]
    for visit in visits:
        page = visit.request("GET", "/", 0, 1, attributes={names.USER_ID: "u"})
        visit.statement(page, "SELECT deal", 0, 1)
        visit.spans = visit.spans[:1] * 1_000 + visit.spans[1:] * 6_000
    store = stored(tmp_path / "t.db", *visits)
    for filters in (["--user", "u"], ["--user", "nobody"], ["--path", "/"], ["--path", "/x"], ["--slow"], ["--errors"]):
        began = time.perf_counter()
        assert len(found(capsys, store, *filters)) in (0, 10)
        assert time.perf_counter() - began < 1
