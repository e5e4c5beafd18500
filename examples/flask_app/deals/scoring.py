"""Scores of deals, recalculated in helper threads."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import cast

from flask import Flask, current_app
from sqlalchemy.exc import SQLAlchemyError

from .database import get_db
from .models import Deal

log = logging.getLogger(__name__)

_STAGE_POINTS = {"lead": 10, "proposal": 25, "negotiation": 40, "won": 60, "lost": 0}


def init_app(app: Flask) -> None:
    app.extensions["deals_scorer"] = Scorer(app)


def get_scorer() -> "Scorer":
    return cast("Scorer", current_app.extensions["deals_scorer"])


def score(deal: Deal) -> int:
    """How promising a deal is, from 0 to 100: its stage, its size and how much is written down."""
    size = min(deal.value_eur // 10_000, 20)
    return min(100, _STAGE_POINTS[deal.stage] + size + 3 * len(deal.notes) + 5 * len(deal.positions))


class Scorer:
    """Recalculates scores, two at a time, so that saving a deal need not wait for it."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="deals-score")

    def submit(self, deal_id: int) -> "Future[None]":
        return self._threads.submit(self._recalculate, deal_id)

    def close(self) -> None:
        """Finish what is queued, then stop the threads."""
        self._threads.shutdown()

    def _recalculate(self, deal_id: int) -> None:
        with self._app.app_context():
            db = get_db()
            try:
                deal = db.get_one(Deal, deal_id)
                deal.score = points = score(deal)
                db.commit()
            except SQLAlchemyError:
                # Nobody reads the future: without this line the failure would be silent.
                log.exception("deal %d could not be scored", deal_id)
            else:
                log.info("deal %d scores %d", deal_id, points)
