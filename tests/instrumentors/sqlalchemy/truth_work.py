"""What the truth test's workers do: every way in which a unit of work begins, goes wrong and ends.

A piece of work is done in an ORM session and says how that is to end. What the server does of its own, without having
been told COMMIT or ROLLBACK, is known to the worker alone, which counts it.
"""

import contextlib
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, Integer, String, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, declarative_base

Base: Any = declarative_base()
COMMIT, ROLLBACK, CLOSE = "commit", "rollback", "close"
ENDS = (COMMIT, ROLLBACK, CLOSE)


class Deal(Base):
    """A row; each worker has titles of its own, so that nobody waits for anybody."""

    __tablename__ = "deal"
    id = Column(Integer, primary_key=True)
    title = Column(String(40))
    after_id = Column(Integer)


class OopsError(Exception):
    """The application's own."""


class Worker:
    """One thread's or task's part.

    Attributes:
        server_ended: Transactions that the server rolled back because their connection was killed or closed.
        refused: COMMITs that failed.
        undone: COMMITs that the server answered with ROLLBACK.
        unheard: Statements that never reached the server, by their first word.
    """

    def __init__(self, number: int, pid: str, nonsense: str, kill: Callable[[int], None]) -> None:
        self.number, self.random = number, random.Random(number)
        self._pid, self._nonsense, self._kill = pid, nonsense, kill
        self._titles = 0
        self.server_ended = self.refused = self.undone = 0
        self.unheard: Counter[str] = Counter()

    def title(self) -> str:
        """One that nobody has used."""
        self._titles += 1
        return f"{self.number}-{self._titles}"

    def write(self, orm: Session, **values: Any) -> Deal:
        """Insert a row."""
        deal = Deal(title=self.title(), **values)
        orm.add(deal)
        orm.flush()
        return deal

    def fail(self, orm: Session) -> None:
        """Send what the server refuses, and go on."""
        with contextlib.suppress(DBAPIError):
            orm.execute(text(self._nonsense))

    def be_killed(self, orm: Session) -> None:
        """Have the connection killed in the middle of a transaction."""
        pid = orm.execute(text(self._pid)).scalar_one()
        self.write(orm)  # the last is no SELECT: PostgreSQL does not count one whose portal is open when it is killed
        self.server_ended += 1
        self._kill(pid)


Work = Callable[[Session, Worker], str]


def added(orm: Session, worker: Worker) -> str:
    orm.add(Deal(title=worker.title()))
    return COMMIT


def changed(orm: Session, worker: Worker) -> str:
    worker.write(orm).title = worker.title()
    return COMMIT


def removed(orm: Session, worker: Worker) -> str:
    orm.delete(worker.write(orm))
    return COMMIT


def two_units(orm: Session, worker: Worker) -> str:
    deal = worker.write(orm)
    orm.commit()
    deal.title += "'"  # loads the row again
    return worker.random.choice(ENDS)


def read(orm: Session, _worker: Worker) -> str:
    orm.execute(select(Deal.title).limit(3)).all()
    return CLOSE


def rolled_back(orm: Session, worker: Worker) -> str:
    worker.write(orm)
    return ROLLBACK


def unused(orm: Session, worker: Worker) -> str:
    orm.add(Deal(title="never"))
    orm.expunge_all()
    return worker.random.choice(ENDS)


def crashed(orm: Session, worker: Worker) -> str:
    worker.write(orm)
    raise OopsError


def crashed_in_block(orm: Session, worker: Worker) -> str:
    with orm.begin():
        worker.write(orm)
        raise OopsError


def savepoint_released(orm: Session, worker: Worker) -> str:
    with orm.begin_nested():
        worker.write(orm)
    return worker.random.choice(ENDS)


def savepoint_undone(orm: Session, worker: Worker) -> str:
    worker.write(orm)
    with contextlib.suppress(OopsError), orm.begin_nested():
        worker.write(orm)
        raise OopsError
    return worker.random.choice(ENDS)


def failed_in_savepoint(orm: Session, worker: Worker) -> str:
    deal = worker.write(orm)
    with contextlib.suppress(DBAPIError), orm.begin_nested():
        orm.add(Deal(title=deal.title))
    return worker.random.choice(ENDS)


def failed_flush(orm: Session, worker: Worker) -> str:
    deal = worker.write(orm)
    orm.add(Deal(title=deal.title))
    with contextlib.suppress(DBAPIError):
        orm.flush()
    orm.rollback()
    if worker.random.random() < 0.5:  # the ORM session is used again
        worker.write(orm)
    return worker.random.choice(ENDS)


def failed_statement(orm: Session, worker: Worker) -> str:
    worker.write(orm)
    worker.fail(orm)
    return worker.random.choice((ROLLBACK, CLOSE))


def failed_statement_in_savepoint(orm: Session, worker: Worker) -> str:
    worker.write(orm)
    savepoint = orm.begin_nested()
    worker.write(orm)
    worker.fail(orm)
    savepoint.rollback()
    return worker.random.choice(ENDS)


def killed(orm: Session, worker: Worker) -> str:
    worker.be_killed(orm)
    if worker.random.random() < 0.5:
        worker.unheard["SELECT"] += 1
        orm.execute(text("select 1"))  # raises
    return worker.random.choice(ENDS)


def thrown_away(orm: Session, worker: Worker) -> str:
    worker.write(orm)
    worker.server_ended += 1
    orm.invalidate()
    return CLOSE


def committed_in_spite(orm: Session, worker: Worker) -> str:
    """PostgreSQL has aborted the transaction, and answers COMMIT with ROLLBACK."""
    worker.write(orm)
    worker.fail(orm)
    worker.undone += 1
    return COMMIT


def refused(orm: Session, worker: Worker) -> str:
    """A constraint that is checked at COMMIT."""
    worker.write(orm, after_id=-1)
    worker.refused += 1
    return COMMIT


WORKS: list[Work] = [
    *[added, changed, removed, two_units, read, read, rolled_back, unused, crashed, crashed_in_block] * 3,
    *[savepoint_released, savepoint_undone, failed_in_savepoint, failed_flush] * 3,
    *[failed_statement, failed_statement_in_savepoint] * 2,
    *[killed, thrown_away],
]
ON_POSTGRESQL: list[Work] = [committed_in_spite, refused, refused]


def leaked(orm: Session, worker: Worker) -> None:
    """What is left open in an ORM session that is let go of."""
    worker.write(orm)
    if worker.random.random() < 0.5:
        orm.begin_nested()
        worker.write(orm)
