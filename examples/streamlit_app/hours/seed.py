"""Tables and twelve weeks of bookings for an empty database."""

import logging
import random
from collections.abc import Iterator
from datetime import date, timedelta
from operator import itemgetter
from typing import Any

from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session

from .models import Base, Booking, Person, Project

log = logging.getLogger(__name__)

WEEKS = 12

_PEOPLE = (
    ("Anna Keller", 40),
    ("Jonas Weber", 40),
    ("Mira Novak", 32),
    ("Samir Haddad", 40),
    ("Lena Fischer", 24),
)

# Name, client, budget in hours, rate in EUR an hour, and how much of each person's time it takes.
_PROJECTS = (
    ("ERP migration", "Nordwind", 400, 135, (5, 2, 0, 0, 2)),
    ("Warehouse analytics", "Nordwind", 240, 125, (1, 0, 4, 0, 0)),
    ("Shop relaunch", "Bergmann", 360, 110, (0, 5, 0, 1, 3)),
    ("Claims workflow", "Helios", 420, 140, (1, 0, 2, 6, 0)),
    ("Patient schedule", "Lindenhof", 160, 115, (0, 1, 2, 1, 0)),
    ("Team days and training", "Internal", 260, None, (1, 1, 1, 1, 1)),
)
# Ordered, but nobody has begun: it has no hours yet.
_PENDING = ("Data platform audit", "Lindenhof", 90, 150)
_NOTES = ("Workshop", "Implementation", "Review", "Call with the client", "Documentation", "Tests", "Planning")


def fill_if_empty(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    with Session(engine) as db:
        if db.scalar(select(Person.id).limit(1)) is not None:
            return
        people = [Person(name=name, hours_a_week=hours) for name, hours in _PEOPLE]
        projects = [Project(name=n, client=c, budget_hours=b, rate_eur=r) for n, c, b, r, _ in _PROJECTS]
        name, client, budget, rate = _PENDING
        db.add_all([*people, *projects, Project(name=name, client=client, budget_hours=budget, rate_eur=rate)])
        db.flush()
        bookings = sorted(_make_bookings(people, projects, until=date.today()), key=itemgetter("day"))
        db.execute(insert(Booking), bookings)
        db.commit()
    log.info("filled an empty database with %d bookings", len(bookings))


def _make_bookings(people: list[Person], projects: list[Project], *, until: date) -> Iterator[dict[str, Any]]:
    # The same bookings for everybody, whenever they start: only the days differ.
    chance = random.Random(7)
    monday = until - timedelta(days=until.weekday(), weeks=WEEKS)
    for week in range(WEEKS):
        for place, person in enumerate(people):
            weights = [shares[place] for *_, shares in _PROJECTS]
            for weekday in range(5):
                day = monday + timedelta(weeks=week, days=weekday)
                for project in _pick(chance, projects, weights):
                    hours = chance.choice((3, 3.5, 4, 4.5)) * person.hours_a_week / 40
                    yield {
                        "day": day,
                        "hours": round(hours * 4) / 4,
                        "note": chance.choice(_NOTES),
                        "person_id": person.id,
                        "project_id": project.id,
                    }


def _pick(chance: random.Random, projects: list[Project], weights: list[int]) -> list[Project]:
    first, second = chance.choices(projects, weights, k=2)
    return [first] if first is second else [first, second]
