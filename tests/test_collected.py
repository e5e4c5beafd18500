"""What we do while objects are collected sets no variable of the context that is interrupted (Python before 3.12).

There a collection can begin in the middle of `ContextVar.set()`, and a second one in the same context then frees what
the first is reading: the interpreter crashes, or forgets its variables.
"""

import gc
import logging
import sys
import weakref
from contextvars import ContextVar
from typing import Any

import pytest
from flask import Flask
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from otel_session import testing

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 12), reason="collects between steps only, which harms nobody")
_set_by: ContextVar[str] = ContextVar("set_by", default="nobody")


class _Setting(SpanProcessor, LogRecordProcessor):
    """Sets a variable while it works, as exporters do, and keeps what it was told of."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_end(self, span: Any) -> None:
        _set_by.set(span.name)
        self.told.append(span.name)

    def on_emit(self, log_record: Any) -> None:
        _set_by.set("a log record")
        self.told.append("a log record")

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


@pytest.fixture
def processor(telemetry: testing.Captured) -> _Setting:
    gc.collect()
    processor = _Setting()
    telemetry.providers["tracer_provider"].add_span_processor(processor)
    telemetry.providers["logger_provider"].add_log_record_processor(processor)
    _set_by.set("nobody")
    return processor


class _Cycle:
    """Is collected by the collector, with what it holds."""

    def __init__(self, held: Any = None) -> None:
        self.held, self.itself = held, self


def test_a_line_logged_by_a_finalizer(processor: _Setting) -> None:
    """SQLAlchemy's pool, asyncio and HTTP clients complain there of what nobody closed."""
    weakref.finalize(_Cycle(), logging.getLogger("collected").error, "nobody closed this")
    gc.collect()
    assert processor.told == ["a log record"]
    assert _set_by.get() == "nobody"


def test_an_orm_session_nobody_closed(processor: _Setting) -> None:
    """Its unit of work ends as leaked, as spans of the SDK's."""
    engine = create_engine("sqlite://")
    orm = Session(engine)
    orm.execute(text("SELECT 1"))
    _set_by.set("nobody")
    processor.told.clear()
    _Cycle(orm)
    del orm
    gc.collect()
    assert "sqlalchemy.unit_of_work" in processor.told
    assert _set_by.get() == "nobody"
    engine.dispose()


def test_a_response_nobody_read(processor: _Setting) -> None:
    """Its request ends when it is collected."""
    app = Flask("collected")
    app.add_url_rule("/", view_func=lambda: (part for part in ("a", "b")))
    response = app.test_client().get("/", buffered=False)
    _set_by.set("nobody")
    _Cycle(response)
    del response
    gc.collect()
    assert processor.told == ["GET /"]
    assert _set_by.get() == "nobody"
