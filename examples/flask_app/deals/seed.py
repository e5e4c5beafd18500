"""Tables and demo data for an empty database."""

import itertools
import logging
from datetime import date, timedelta

from flask import Flask
from sqlalchemy import Engine, inspect, select
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable
from werkzeug.security import generate_password_hash

from .models import Base, Deal, Note, Position, User
from .scoring import score

log = logging.getLogger(__name__)

PASSWORD = "demo"
NAMES = ("Anna Keller", "Jonas Weber", "Mira Novak", "Samir Haddad", "Lena Fischer")

# Title, client, stage, value in EUR, owner's place in NAMES, positions as (role, days, day rate in EUR).
_DEALS = (
    ("ERP migration", "Nordwind Logistics", "won", 184_000, 0, (("Architect", 60, 1400), ("Engineer", 100, 1000))),
    ("Warehouse analytics", "Nordwind Logistics", "proposal", 62_000, 0, (("Data engineer", 40, 1100),)),
    ("Shop relaunch", "Bergmann Bikes", "negotiation", 98_500, 1, (("Designer", 25, 900), ("Engineer", 76, 1000))),
    ("Security review", "Stadtwerke Auental", "won", 24_000, 1, (("Security analyst", 16, 1500),)),
    ("Customer portal", "Stadtwerke Auental", "lead", 140_000, 2, (("Engineer", 110, 1000), ("Tester", 40, 750))),
    ("Cloud landing zone", "Helios Insurance", "negotiation", 76_000, 2, (("Cloud architect", 50, 1520),)),
    ("Claims workflow", "Helios Insurance", "proposal", 210_000, 3, (("Analyst", 60, 1100), ("Engineer", 144, 1000))),
    ("Forecasting model", "Kornblume Bakeries", "lead", 38_000, 3, (("Data scientist", 30, 1260),)),
    ("Point-of-sale rollout", "Kornblume Bakeries", "lost", 55_000, 4, (("Field engineer", 68, 800),)),
    ("Patient schedule", "Lindenhof Clinic", "proposal", 118_000, 4, (("Engineer", 90, 1000), ("Designer", 31, 900))),
    # Nobody has priced this one yet: it has no positions.
    ("Data platform audit", "Lindenhof Clinic", "lead", 30_000, 0, ()),
    ("Mobile time tracking", "Auer Construction", "won", 47_000, 1, (("Mobile engineer", 47, 1000),)),
)
_NOTES = (
    "First call: they want an offer before the end of the month.",
    "Sent the short profile of the team.",
    "Budget is approved by the board, scope is still open.",
)


def init_app(app: Flask) -> None:
    engine: Engine = app.extensions["deals_engine"]
    _create_tables(engine)
    _fill_if_empty(engine)
    # A pre-forking server must not hand open connections to its workers.
    engine.dispose()


def _create_tables(engine: Engine) -> None:
    # Not create_all(): several workers may start on one empty database at the same moment.
    for table in Base.metadata.sorted_tables:
        try:
            with engine.begin() as connection:
                connection.execute(CreateTable(table, if_not_exists=True))
        except (IntegrityError, ProgrammingError):
            # PostgreSQL's IF NOT EXISTS looks first and creates later; another worker may come in between.
            if not inspect(engine).has_table(table.name):
                raise
            log.info("another worker has created %s", table.name)


def _fill_if_empty(engine: Engine) -> None:
    with Session(engine) as db:
        if db.scalar(select(User.id).limit(1)) is not None:
            return
        users = _make_users()
        db.add_all(users)
        db.add_all(_make_deals(users))
        try:
            db.commit()
        except IntegrityError:
            log.info("another worker has filled the database")
        else:
            log.info("filled an empty database with %d users and %d deals", len(users), len(_DEALS))


def _make_users() -> list[User]:
    # A quick hash, once for all of them: the login page tells everybody this password anyway.
    password_hash = generate_password_hash(PASSWORD, method="pbkdf2:sha256:10000")
    return [
        User(name=name, email=f"{name.split()[0].lower()}@example.com", password_hash=password_hash) for name in NAMES
    ]


def _make_deals(users: list[User]) -> list[Deal]:
    deals = []
    for number, (title, client, stage, value_eur, owner, positions) in enumerate(_DEALS):
        deal = Deal(title=title, client=client, stage=stage, value_eur=value_eur, owner=users[owner])
        deal.created_on = date(2025, 1, 13) + timedelta(days=9 * number)
        deal.positions = [Position(role=role, days=days, day_rate_eur=rate) for role, days, rate in positions]
        deal.notes = _make_notes(deal, users, count=1 + number % 3)
        deal.score = score(deal)
        deals.append(deal)
    return deals


def _make_notes(deal: Deal, users: list[User], *, count: int) -> list[Note]:
    authors = itertools.cycle([deal.owner, *users])
    days = itertools.count(step=3)
    return [
        Note(body=body, author=author, written_on=deal.created_on + timedelta(days=day))
        for body, author, day in zip(_NOTES[:count], authors, days, strict=False)
    ]
