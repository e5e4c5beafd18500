"""The pages, through a real Flask client on a real SQLite file."""

import csv
import html
import io
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from deals.models import Deal
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

MakeApp = Callable[..., Flask]
SignIn = Callable[[Flask, str], FlaskClient]
FORM = {"title": "Chatbot pilot", "client": "Auer Construction", "value": "45000"}


def read_deals(app: Flask) -> list[Deal]:
    with Session(app.extensions["deals_engine"]) as db:
        return list(db.scalars(select(Deal).order_by(Deal.id)))


def read_text(response: TestResponse) -> str:
    return html.unescape(response.text)


@pytest.mark.parametrize(
    "path", ["/deals", "/deals/1", "/deals/new", "/reports/slow", "/reports/broken", "/reports/monthly", "/export.csv"]
)
def test_pages_need_a_user(app: Flask, path: str) -> None:
    """Without a user every page leads to the login page, which leads back to it."""
    client = app.test_client()
    response = client.get(path)
    assert response.status_code == 302
    login = response.location
    assert login.startswith("/login?next=")
    response = client.post(login, data={"email": "Mira@Example.com", "password": "demo"})
    assert response.location == path


@pytest.mark.parametrize("target", ["https://example.org/", "//example.org", "/\\example.org"])
def test_login_stays_on_the_site(app: Flask, target: str) -> None:
    """A prepared login link cannot send a user to another site."""
    response = app.test_client().post(
        "/login", query_string={"next": target}, data={"email": "anna@example.com", "password": "demo"}
    )
    assert response.location == "/deals"


@pytest.mark.parametrize("data", [{"email": "anna@example.com", "password": "wrong"}, {"email": "\x00"}, {}])
def test_wrong_password(app: Flask, caplog: pytest.LogCaptureFixture, data: dict[str, str]) -> None:
    """A refused login answers 401, signs nobody in, and logs a warning without the e-mail address."""
    client = app.test_client()
    response = client.post("/login", data=data)
    assert response.status_code == 401
    assert "do not belong together" in response.text
    assert client.get("/deals").status_code == 302
    assert ("deals.views.auth", logging.WARNING, "sign-in refused") in caplog.record_tuples
    assert "example.com" not in caplog.text


def test_logout(anna: FlaskClient) -> None:
    """After signing out the same browser has to sign in again."""
    assert anna.get("/deals").status_code == 200
    assert "You are signed out." in anna.post("/logout", follow_redirects=True).text
    assert anna.get("/deals").status_code == 302


def test_list_shows_every_deal_with_its_owner(
    app: Flask, anna: FlaskClient, statements: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The list has all twelve demo deals and five owners, in two statements: the user, and the deals with owners."""
    text = read_text(anna.get("/deals"))
    assert len(statements) == 2
    titles = [deal.title for deal in read_deals(app)]
    assert len(titles) == 12
    assert all(title in text for title in titles)
    assert all(name in text for name in ("Anna Keller", "Jonas Weber", "Mira Novak", "Samir Haddad", "Lena Fischer"))
    assert ("deals.views.deals", logging.INFO, "listed 12 deals") in caplog.record_tuples


def test_home_leads_to_the_list(anna: FlaskClient) -> None:
    """The front page is the list of deals."""
    assert "All deals" in anna.get("/", follow_redirects=True).text


def test_detail_loads_notes_lazily(anna: FlaskClient, statements: list[str]) -> None:
    """A deal's page reads its notes with a statement of their own, sent while the template renders."""
    response = anna.get("/deals/3")
    assert "Budget is approved by the board" in response.text
    assert sum("FROM notes" in statement for statement in statements) == 1
    assert not any("JOIN" in statement for statement in statements)


@pytest.mark.parametrize("path", ["/deals/999", f"/deals/{10**30}", "/nothing", "/deals/x"])
def test_not_found(anna: FlaskClient, path: str) -> None:
    """Unknown pages and deals answer 404 in the app's own look, ids beyond any integer type included."""
    response = anna.get(path)
    assert response.status_code == 404
    assert "There is no such page or deal." in response.text
    assert "Anna Keller" in response.text


def test_create_deal(app: Flask, anna: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """A new deal belongs to who typed it, is confirmed once, and gets its score from a helper thread."""
    response = anna.post("/deals/new", data=FORM)
    assert response.location == "/deals/13"
    assert "“Chatbot pilot” is saved." in read_text(anna.get("/deals/13"))
    assert "is saved" not in anna.get("/deals/13").text
    app.extensions["deals_scorer"].close()

    deal = read_deals(app)[-1]
    assert (deal.title, deal.client, deal.value_eur) == ("Chatbot pilot", "Auer Construction", 45_000)
    assert (deal.owner_id, deal.stage, deal.score) == (1, "lead", 14)
    scored = [record for record in caplog.records if record.name == "deals.scoring"]
    assert [record.getMessage() for record in scored] == ["deal 13 scores 14"]
    assert scored[0].threadName is not None
    assert scored[0].threadName.startswith("deals-score")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("title", "ab", "A title has 3 to 120 characters."),
        ("title", "x" * 121, "A title has 3 to 120 characters."),
        ("client", " ", "A client has 2 to 120 characters."),
        ("value", "", "A value is a whole number of euros from 1 to 100,000,000."),
        ("value", "12.50", "A value is a whole number of euros from 1 to 100,000,000."),
        ("value", "-1", "A value is a whole number of euros from 1 to 100,000,000."),
        ("value", "9" * 5000, "A value is a whole number of euros from 1 to 100,000,000."),
    ],
)
def test_create_deal_refuses(app: Flask, anna: FlaskClient, field: str, value: str, message: str) -> None:
    """A wrong field is named with what is expected, what was typed is kept, and nothing is saved."""
    response = anna.post("/deals/new", data=FORM | {field: value})
    assert response.status_code == 400
    assert message in response.text
    assert all(FORM[other] in response.text for other in FORM if other != field)
    assert len(read_deals(app)) == 12


def test_typed_html_is_shown_as_text(anna: FlaskClient) -> None:
    """Markup in a title reaches the page escaped."""
    response = anna.post("/deals/new", data=FORM | {"title": "<script>alert(1)</script>"}, follow_redirects=True)
    assert "<script>" not in response.text
    assert "&lt;script&gt;" in response.text


def test_add_note(anna: FlaskClient) -> None:
    """A note appears on the deal's page under its author; an empty one is refused and an unknown deal answers 404."""
    response = anna.post("/deals/11/notes", data={"body": "They call back on Monday."}, follow_redirects=True)
    assert "They call back on Monday." in response.text
    assert "Anna Keller, " in response.text
    assert anna.post("/deals/11/notes", data={"body": " "}).status_code == 400
    assert anna.post("/deals/999/notes", data={"body": "Hello"}).status_code == 404


def test_slow_report(make_app: MakeApp, sign_in: SignIn, caplog: pytest.LogCaptureFixture) -> None:
    """The slow report takes at least the configured time and then logs a warning that says how long."""
    anna = sign_in(make_app(SLOW_REPORT_S=0.3), "anna")
    response = anna.get("/reports/slow")
    assert "Patient schedule" in response.text
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    deals, took_s = warning.args  # type: ignore[misc]
    assert deals == 12
    assert float(took_s) >= 0.3  # type: ignore[arg-type]


def test_slow_report_loads_deal_by_deal(
    anna: FlaskClient, statements: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The report sends one statement per deal for its positions (N+1), and logs no warning when it was quick."""
    assert anna.get("/reports/slow").status_code == 200
    assert sum("FROM positions" in statement for statement in statements) == 12
    assert sum("pg_sleep" in statement for statement in statements) == 1
    assert not any(record.levelno >= logging.WARNING for record in caplog.records)


@pytest.mark.parametrize("value", ["soon", -1, True])
def test_slow_report_setting_is_checked(make_app: MakeApp, value: object) -> None:
    """A wrong duration stops the start with the variable, the value and what was expected."""
    with pytest.raises(ValueError, match=f"DEALS_SLOW_REPORT_S is {value!r}; expected seconds from 0 to 60."):
        make_app(SLOW_REPORT_S=value)


def test_broken_report(anna: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """The broken report answers 500 in the app's own look, logs the exception, and the next page works."""
    response = anna.get("/reports/broken")
    assert response.status_code == 500
    assert "Something broke" in response.text
    [error] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert error.name == "deals"
    assert error.exc_info is not None
    assert error.exc_info[0] is ZeroDivisionError
    assert anna.get("/deals").status_code == 200


def test_monthly_report(app: Flask, anna: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """It is written in the background, by a thread that says how long it took; then the page shows it."""
    assert "None has been written yet." in anna.get("/reports/monthly").text
    response = anna.post("/reports/monthly", follow_redirects=True)
    assert "is being written" in response.text
    app.extensions["deals_monthly"].close()
    shown = anna.get("/reports/monthly").text
    assert shown.index("lead") < shown.index("negotiation") < shown.index("won")
    messages = [record.getMessage() for record in caplog.records if record.threadName == "deals-monthly"]
    assert messages[-1].startswith("PERF: monthly_report took 0.")
    assert messages[-1].endswith("s")


def test_export_streams(app: Flask, anna: FlaskClient, statements: list[str]) -> None:
    """The export sends its first line before it asks the database, then every deal, then gives the connection back."""
    response = anna.get("/export.csv", buffered=False)
    lines = iter(response.iter_encoded())
    header = next(lines)
    assert not any("FROM deals" in statement for statement in statements)
    rows = list(csv.reader(io.StringIO(b"".join([header, *lines]).decode())))
    response.close()
    assert sum("FROM deals" in statement for statement in statements) == 1
    assert rows[0] == ["id", "title", "client", "stage", "value_eur", "owner"]
    assert rows[1] == ["1", "ERP migration", "Nordwind Logistics", "won", "184000", "Anna Keller"]
    assert len(rows) == 13
    assert app.extensions["deals_engine"].pool.checkedout() == 0


def test_export_left_early(app: Flask, anna: FlaskClient) -> None:
    """A browser that leaves in the middle of the export leaves no connection checked out."""
    response = anna.get("/export.csv", buffered=False)
    lines = iter(response.iter_encoded())
    next(lines)
    next(lines)
    response.close()
    assert app.extensions["deals_engine"].pool.checkedout() == 0


@pytest.mark.parametrize("path", ["/healthz", "/static/deals.css", "/login"])
def test_pages_without_database(app: Flask, statements: list[str], path: str) -> None:
    """Health check, style sheet and login form work without a user and without a statement."""
    with app.test_client() as client, client.get(path) as response:
        assert response.status_code == 200
    assert statements == []


def test_health_of_a_signed_in_browser(anna: FlaskClient, statements: list[str]) -> None:
    """The user is read only by pages that need one."""
    assert anna.get("/healthz").json == {"status": "ok"}
    assert statements == []


def test_users_at_once(app: Flask, sign_in: SignIn) -> None:
    """Five users who save deals at the same time all succeed, and each owns exactly what they typed."""
    names = ["anna", "jonas", "mira", "samir", "lena"]

    def visit(name: str) -> None:
        client = sign_in(app, name)
        for number in range(4):
            response = client.post("/deals/new", data=FORM | {"title": f"{name} {number}"}, follow_redirects=True)
            assert response.status_code == 200

    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(visit, names))
    app.extensions["deals_scorer"].close()

    added = read_deals(app)[12:]
    assert len(added) == 20
    for owner_id, name in enumerate(names, start=1):
        assert [deal.title for deal in added if deal.owner_id == owner_id] == [f"{name} {n}" for n in range(4)]
    assert all(deal.score == 14 for deal in added)
