"""Shared by all tests: telemetry in memory, switched on and off again around each test that asks for it."""

from collections.abc import Iterator

import pytest

import otel_session
from otel_session import testing


@pytest.fixture
def telemetry() -> Iterator[testing.Captured]:
    """Everything instrumented, telemetry in memory; nothing stays behind."""
    with testing.captured() as captured:
        otel_session.instrument(**captured.providers)
        yield captured
        otel_session.uninstrument()
