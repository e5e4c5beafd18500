"""Deals: list, read, create, comment, export."""

import csv
import logging
from collections.abc import Iterator

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from ..access import login_required, require_user
from ..database import get_db
from ..forms import MAX_NOTE_CHARS, DealForm, read_deal, read_field
from ..models import Deal, Note
from ..scoring import get_scorer

log = logging.getLogger(__name__)
blueprint = Blueprint("deals", __name__)

# The largest id that fits PostgreSQL's integer; a larger one in a URL is an error to the driver.
_MAX_ID = 2**31 - 1


@blueprint.get("/")
def home() -> ResponseReturnValue:
    return redirect(url_for("deals.list_deals"))


@blueprint.get("/deals")
@login_required
def list_deals() -> ResponseReturnValue:
    query = select(Deal).options(joinedload(Deal.owner)).order_by(Deal.created_on.desc(), Deal.id.desc())
    deals = get_db().scalars(query).all()
    log.info("listed %d deals", len(deals))
    return render_template("deals.html", deals=deals, total_eur=sum(deal.value_eur for deal in deals))


@blueprint.get("/deals/<int:deal_id>")
@login_required
def show_deal(deal_id: int) -> ResponseReturnValue:
    deal = _get_deal_or_404(deal_id)
    return render_template("deal.html", deal=deal)


@blueprint.get("/deals/new")
@login_required
def new_deal() -> ResponseReturnValue:
    return render_template("new_deal.html", form=DealForm())


@blueprint.post("/deals/new")
@login_required
def create_deal() -> ResponseReturnValue:
    form = read_deal(request.form)
    if form.errors:
        log.info("new deal refused: %s", ", ".join(form.errors))
        return render_template("new_deal.html", form=form), 400
    db = get_db()
    deal = Deal(title=form.title, client=form.client, value_eur=form.value_eur, stage="lead", owner=require_user())
    db.add(deal)
    db.commit()
    log.info("created deal %d", deal.id)
    get_scorer().submit(deal.id)
    flash(f"“{deal.title}” is saved.")
    return redirect(url_for("deals.show_deal", deal_id=deal.id))


@blueprint.post("/deals/<int:deal_id>/notes")
@login_required
def add_note(deal_id: int) -> ResponseReturnValue:
    deal = _get_deal_or_404(deal_id)
    body = read_field(request.form, "body")
    if not 1 <= len(body) <= MAX_NOTE_CHARS:
        flash(f"A note has 1 to {MAX_NOTE_CHARS} characters.", "error")
        return render_template("deal.html", deal=deal, body=body), 400
    db = get_db()
    db.add(Note(body=body, author=require_user(), deal=deal))
    db.commit()
    log.info("added a note to deal %d", deal_id)
    get_scorer().submit(deal_id)
    return redirect(url_for("deals.show_deal", deal_id=deal_id))


@blueprint.get("/export.csv")
@login_required
def export_deals() -> ResponseReturnValue:
    return Response(
        stream_with_context(_write_csv()),
        mimetype="text/csv",
        headers={"Content-Disposition": "attachment; filename=deals.csv"},
    )


def _get_deal_or_404(deal_id: int) -> Deal:
    deal = get_db().get(Deal, deal_id) if deal_id <= _MAX_ID else None
    if deal is None:
        log.info("no deal %d", deal_id)
        abort(404)
    return deal


class _Echo:
    """A file whose writes come back as the return value, one CSV line each."""

    def write(self, line: str) -> str:
        return line


def _write_csv() -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(["id", "title", "client", "stage", "value_eur", "owner"])
    query = select(Deal).options(joinedload(Deal.owner)).order_by(Deal.id).execution_options(yield_per=100)
    rows = 0
    for deal in get_db().scalars(query):
        yield writer.writerow([deal.id, deal.title, deal.client, deal.stage, deal.value_eur, deal.owner.name])
        rows += 1
    log.info("exported %d deals", rows)
