"""Writing: a booking made, a booking taken back."""

import logging
from dataclasses import dataclass
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from .database import connection
from .models import Booking
from .queries import forget

log = logging.getLogger(__name__)

MAX_NOTE_CHARS = 200


@dataclass(frozen=True)
class Line:
    """A booking as its owner sees it."""

    id: int
    day: date
    hours: float
    project: str
    note: str


def book(person_id: int, project_id: int, day: date, hours: float, note: str) -> int:
    """Save a booking; gives its id."""
    with connection().session as db:
        booking = Booking(person_id=person_id, project_id=project_id, day=day, hours=hours, note=note.strip())
        db.add(booking)
        db.commit()
        log.info("booked %.2f hours on project %d", hours, project_id)
        made = booking.id
    forget()
    return made


def take_back(booking_id: int) -> None:
    """Delete a booking; one that is gone already is no error."""
    with connection().session as db:
        booking = db.get(Booking, booking_id)
        if booking is not None:
            db.delete(booking)
            db.commit()
            log.info("booking %d taken back", booking_id)
    forget()


def lines_of(person_id: int, limit: int = 6) -> list[Line]:
    """A person's newest bookings."""
    query = (
        select(Booking)
        .options(joinedload(Booking.project))
        .where(Booking.person_id == person_id)
        .order_by(Booking.id.desc())
        .limit(limit)
    )
    with connection().session as db:
        return [Line(b.id, b.day, b.hours, b.project.name, b.note) for b in db.scalars(query)]
