"""What the pages ask the database, and for how long its answers hold."""

import time
from datetime import date, timedelta
from typing import Any

import pandas as pd  # type: ignore[import-untyped]  # it ships no types
import streamlit as st

from .database import connection

_BOOKINGS = """
    SELECT bookings.day, bookings.hours, people.name AS person, projects.name AS project, projects.client,
           projects.rate_eur
    FROM bookings JOIN people ON people.id = bookings.person_id JOIN projects ON projects.id = bookings.project_id
    WHERE bookings.day >= :since
"""
_NEWEST = """
    SELECT people.name AS who, projects.name AS what, bookings.hours, bookings.note
    FROM bookings JOIN people ON people.id = bookings.person_id JOIN projects ON projects.id = bookings.project_id
    ORDER BY bookings.id DESC LIMIT 5
"""
_PROJECTS = """
    SELECT projects.id, projects.name, projects.client, projects.budget_hours, projects.rate_eur,
           coalesce(sum(bookings.hours), 0) AS hours, count(bookings.id) AS bookings
    FROM projects LEFT JOIN bookings ON bookings.project_id = projects.id
    GROUP BY projects.id ORDER BY projects.client, projects.name
"""


@st.cache_data(ttl=timedelta(minutes=5), show_spinner="Reading bookings…")
def bookings(weeks: int) -> Any:
    """One row for each booking of the last weeks, as a data frame; worked out once for all users."""
    found = connection().query(_BOOKINGS, ttl=0, params={"since": _first_day(weeks).isoformat()}, parse_dates=["day"])
    found["week"] = found["day"].dt.to_period("W").dt.start_time
    found["revenue_eur"] = found["hours"] * found["rate_eur"].fillna(0)
    return found


def _first_day(weeks: int) -> date:
    """The Monday that the last weeks begin with; the last one is that of the newest booking."""
    [newest] = connection().query("SELECT max(day) AS day FROM bookings", ttl=0, parse_dates=["day"])["day"]
    if pd.isna(newest):
        return date.today()
    monday: date = newest.date() - timedelta(days=newest.weekday(), weeks=weeks - 1)
    return monday


def projects() -> Any:
    """All projects with their hours so far."""
    return connection().query(_PROJECTS, ttl=30, show_spinner=False)


def people() -> Any:
    """Who can book: id and name."""
    return connection().query("SELECT id, name, hours_a_week FROM people ORDER BY name", ttl=3600, show_spinner=False)


def newest() -> Any:
    """The five newest bookings; never kept."""
    return connection().query(_NEWEST, ttl=0, show_spinner=False)


def utilisation(takes_s: float) -> tuple[Any, float]:
    """Each person's booked and possible hours, and the seconds it took."""
    started = time.perf_counter()
    # Stands in for the aggregate over years of timesheets that makes such reports slow in real life.
    connection().query("SELECT pg_sleep(:takes_s)", ttl=0, show_spinner=False, params={"takes_s": takes_s})
    found = bookings(12).groupby("person", as_index=False)["hours"].sum()
    possible = people().rename(columns={"name": "person"})
    found = found.merge(possible, on="person")
    found["percent"] = 100 * found["hours"] / (12 * found["hours_a_week"])
    return found, time.perf_counter() - started


def forget() -> None:
    """Let the next look at bookings and projects read the database."""
    st.cache_data.clear()
