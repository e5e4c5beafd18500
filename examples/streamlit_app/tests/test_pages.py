"""The pages, as Streamlit runs them, on a real SQLite file."""

from collections.abc import Callable

import pytest
from hours.models import Booking
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session
from streamlit.testing.v1 import AppTest

OpenPage = Callable[[str], AppTest]


def count_bookings(engine: Engine) -> int:
    with Session(engine) as db:
        return db.scalars(select(func.count(Booking.id))).one()


def figures(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def sign_in(page: AppTest) -> AppTest:
    return page.selectbox(key="who").select("Mira Novak").run()


def test_overview_shows_key_figures(open_page: OpenPage) -> None:
    """The overview has the hours, the revenue, what is billable of it, and everybody who works here."""
    page = open_page("overview")
    assert not page.exception
    assert figures(page) == {"Hours": "1,082", "Revenue": "114,458 €", "Billable": "84%", "People": "5"}
    assert len(page.dataframe) == 2


def test_filters(open_page: OpenPage) -> None:
    """Billable hours only: all of what is left is billable. One client: less than all."""
    page = open_page("overview")
    page.toggle(key="billable").set_value(True).run()
    assert figures(page)["Billable"] == "100%"
    page.multiselect(key="clients").select("Helios").run()
    assert 0 < float(figures(page)["Hours"]) < 300
    assert len(page.dataframe[0].value) == 1


def test_filters_that_match_nothing(open_page: OpenPage) -> None:
    """Billable hours of ourselves: there are none, which the page says and stops."""
    page = open_page("overview")
    page.multiselect(key="clients").select("Internal")
    page.toggle(key="billable").set_value(True).run()
    assert [info.value for info in page.info] == ["No hours match these filters."]
    assert not page.metric


def test_booking_needs_a_name(open_page: OpenPage) -> None:
    """Before somebody says who they are there is no form."""
    page = open_page("book")
    assert "Choose your name" in page.info[0].value
    assert not page.text_input


def test_book_hours_and_take_them_back(open_page: OpenPage, engine: Engine) -> None:
    """A booking is in the database and in the list; taking it back removes it from both."""
    page = sign_in(open_page("book"))
    before = count_bookings(engine)
    page.text_input(key="note").input("Night shift")
    page.button(key="book").click().run()
    assert "are booked" in page.success[0].value
    assert count_bookings(engine) == before + 1
    assert "Night shift" in page.markdown[0].value
    newest = next(button for button in page.button if button.key and button.key.startswith("back-"))
    newest.click().run()
    assert count_bookings(engine) == before
    assert "Night shift" not in page.markdown[0].value


def test_booking_needs_a_note(open_page: OpenPage, engine: Engine) -> None:
    """A booking without a note is refused."""
    page = sign_in(open_page("book"))
    before = count_bookings(engine)
    page.button(key="book").click().run()
    assert page.error[0].value == "Say in a few words what you did."
    assert count_bookings(engine) == before


def test_slow_report(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The utilisation of five people takes its time, which a warning says."""
    monkeypatch.setenv("HOURS_SLOW_REPORT_S", "0.3")
    page = open_page("reports")
    page.button(key="utilisation").click().run()
    assert len(page.dataframe[0].value) == 5
    assert "slow report: 5 people took 0." in caplog.text


def test_broken_report(open_page: OpenPage) -> None:
    """The averages fail at the project that nobody has begun."""
    page = open_page("reports")
    page.button(key="average").click().run()
    assert [error.message for error in page.exception] == ["integer division or modulo by zero"]


def test_visit_without_telemetry(open_page: OpenPage) -> None:
    """The page about the visit says so when nobody watches."""
    page = open_page("visit")
    assert not page.exception
    assert "not started with opentelemetry-instrument" in page.info[0].value
