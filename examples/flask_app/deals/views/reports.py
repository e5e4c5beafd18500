"""Reports: one slow, one with a bug that its first customer will find, one written in the background."""

import logging
import time
from collections.abc import Sequence

from flask import Blueprint, current_app, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select

from ..access import login_required
from ..database import get_db
from ..models import Deal
from ..monthly import get_monthly

log = logging.getLogger(__name__)
blueprint = Blueprint("reports", __name__, url_prefix="/reports")

_WARN_AFTER_S = 0.25


@blueprint.get("/slow")
@login_required
def slow() -> ResponseReturnValue:
    """Planned days per deal: owners and positions are loaded deal by deal (N+1)."""
    started = time.perf_counter()
    _read_timesheets(current_app.config["SLOW_REPORT_S"])
    rows = [(deal, deal.owner.name, sum(position.days for position in deal.positions)) for deal in _all_deals()]
    took_s = time.perf_counter() - started
    if took_s > _WARN_AFTER_S:
        log.warning("slow report: %d deals took %.2f s", len(rows), took_s)
    return render_template("report_days.html", rows=rows, took_s=took_s)


@blueprint.get("/broken")
@login_required
def broken() -> ResponseReturnValue:
    """Average day rate per deal; fails as soon as one deal has no positions."""
    log.info("averaging day rates")
    rows = [(deal, _average_day_rate_eur(deal)) for deal in _all_deals()]
    return render_template("report_rates.html", rows=rows)


@blueprint.get("/monthly")
@login_required
def monthly() -> ResponseReturnValue:
    return render_template("report_monthly.html", rows=get_monthly().latest)


@blueprint.post("/monthly")
@login_required
def write_monthly() -> ResponseReturnValue:
    """Deals by stage, worked out in a thread after the answer."""
    log.info("monthly report asked for")
    get_monthly().start()
    flash("The monthly report is being written.")
    return redirect(url_for("reports.monthly"))


def _all_deals() -> Sequence[Deal]:
    return get_db().scalars(select(Deal).order_by(Deal.id)).all()


def _read_timesheets(takes_s: float) -> None:
    # Stands in for the aggregate over years of timesheets that makes such reports slow in real life.
    get_db().execute(select(func.pg_sleep(takes_s)))


def _average_day_rate_eur(deal: Deal) -> int:
    return sum(position.day_rate_eur for position in deal.positions) // len(deal.positions)
