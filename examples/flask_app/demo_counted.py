"""The same app with a second, independent count: SQLite's own trace callback, by client. For `demo.py` only.

Each statement appends the number of the client it was sent for to the file in `DEMO_COUNT_FILE`.
"""

import os
import threading
from concurrent.futures import Future
from typing import Any

from app import app
from flask import has_request_context, request
from sqlalchemy import event

__all__ = ["app"]

_TRANSACTION_WORDS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")
_helper = threading.local()
_file = os.open(os.environ["DEMO_COUNT_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _count(statement: str) -> None:
    if not statement.startswith(_TRANSACTION_WORDS):
        os.write(_file, f"{_client()}\n".encode())


def _client() -> str:
    if has_request_context():
        return request.headers.get("X-Demo-Client", "-")
    return getattr(_helper, "client", "-")


def _watch(connection: Any, record: object) -> None:
    connection.set_trace_callback(_count)


def _remember_client(scorer: Any) -> None:
    # Its threads know no request, so this count tells them by hand whom they work for.
    original = scorer._recalculate

    def submit(deal_id: int) -> "Future[None]":
        client = _client()

        def work() -> None:
            _helper.client = client
            original(deal_id)

        future: Future[None] = scorer._threads.submit(work)
        return future

    scorer.submit = submit


event.listen(app.extensions["deals_engine"], "connect", _watch)
_remember_client(app.extensions["deals_scorer"])
