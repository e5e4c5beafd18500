"""The monthly report, written in the background: who asks for it need not wait."""

import logging
import threading
import time
from typing import cast

from flask import Flask, current_app
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from .database import get_db
from .models import STAGES, Deal

log = logging.getLogger(__name__)

Row = tuple[str, int, int]
"""A stage, how many deals are in it, and their value in EUR."""


def init_app(app: Flask) -> None:
    app.extensions["deals_monthly"] = Monthly(app)


def get_monthly() -> "Monthly":
    return cast("Monthly", current_app.extensions["deals_monthly"])


class Monthly:
    """Writes reports, each in a thread of its own, and keeps the latest."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._threads: list[threading.Thread] = []
        self.latest: list[Row] | None = None

    def start(self) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=self._write, name="deals-monthly")
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Wait for what is being written."""
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        started = time.perf_counter()
        with self._app.app_context():
            try:
                self.latest = _rows()
            except SQLAlchemyError:
                log.exception("the monthly report could not be written")
                return
        log.info("PERF: monthly_report took %.2fs", time.perf_counter() - started)


def _rows() -> list[Row]:
    query = select(Deal.stage, func.count(), func.sum(Deal.value_eur)).group_by(Deal.stage)
    found = {stage: (stage, count, value_eur) for stage, count, value_eur in get_db().execute(query)}
    for stage, count, _ in found.values():
        log.info("monthly report: %d deals are %s", count, stage)
    return [found[stage] for stage in STAGES if stage in found]
