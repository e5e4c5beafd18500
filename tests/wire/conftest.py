"""Quiet: the SDK and the official encoder log each odd value, most with a traceback, and here nearly all are odd."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def _quiet_opentelemetry() -> Iterator[None]:
    logger = logging.getLogger("opentelemetry")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(level)
