"""Shared by the tests of operations: the lines they write, as plain data."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace

from otel_session import context as here

FIELDS = ("operation", "duration_ms", "success", "metadata", "error")


class Lines(logging.Handler):
    """Keeps every record, and which ids were current when it was written."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.correlation_ids: list[str | None] = []
        self.span_ids: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.correlation_ids.append(here.get_correlation_id())
        self.span_ids.append(trace.get_current_span().get_span_context().span_id)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]

    def fields(self, message: str) -> dict[str, Any]:
        """The fields of feature B3 that the one record with this message has."""
        (found,) = (record for record in self.records if record.getMessage() == message)
        return {name: vars(found)[name] for name in FIELDS if name in vars(found)}

    def record(self, message: str) -> logging.LogRecord:
        (found,) = (record for record in self.records if record.getMessage() == message)
        return found


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What is logged at INFO and above, by whichever logger."""
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)
