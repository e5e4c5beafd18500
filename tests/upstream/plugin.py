"""A pytest plug-in for SQLAlchemy's own tests: `-p plugin --ours --report FILE`, with this folder on `PYTHONPATH`.

It runs in an environment that has SQLAlchemy, pytest and our wheel, and imports nothing of our tests but what is beside
it. After each test, what ours told of is compared with what a witness saw; the report is JSON.
"""

import gc
import json
import pathlib
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

_LONGEST = 3_000
_ALL_EVERY = 100
"""After so many tests all garbage is collected, and after each one what is young."""
_RANK = ("passed", "skipped", "failed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ours", action="store_true", help="switch our instrumentor on")
    parser.addoption("--leaves", action="store_true", help="with --ours: as in production, without spans of the SDK's")
    parser.addoption("--report", type=pathlib.Path, required=True, help="the file to write")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Run(config), "otel_session_upstream")


class _Run:
    """One run of tests."""

    def __init__(self, config: pytest.Config) -> None:
        from witness import Witness  # imports SQLAlchemy, which its conftest.py wants to be there first

        self._path: pathlib.Path = config.getoption("report")
        self._outcomes: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        self._sent: dict[str, int] = {}
        self._differences: dict[str, list[Any]] = {}
        self._left_current: list[str] = []
        self._statements = self._tests = 0
        # When objects of the ORM are collected, others load them again: by itself that would depend on how much was
        # allocated before, ours included, and the two runs would send different statements.
        gc.disable()
        self._witness, self._telemetry = Witness(), None
        self._witness.install()
        if config.getoption("ours"):
            from telemetry import Telemetry

            self._telemetry = Telemetry(leaves=config.getoption("leaves"))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._compare("(between tests)")
        random.seed(0)
        with self._telemetry.around() if self._telemetry is not None else nullcontext():
            try:
                return (yield)
            finally:
                if self._telemetry is not None and self._telemetry.left_current():
                    self._left_current.append(item.nodeid)
                self._compare(item.nodeid)
                self._tests += 1
                gc.collect(1 if self._tests % _ALL_EVERY else 2)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        before = self._outcomes.get(report.nodeid, "passed")
        self._outcomes[report.nodeid] = max(before, report.outcome, key=_RANK.index)
        if report.failed:
            self._reasons[report.nodeid] = report.longreprtext[-_LONGEST:]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._outcomes[report.nodeid], self._reasons[report.nodeid] = "failed", report.longreprtext[-_LONGEST:]

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        self._compare("(between tests)")
        import sqlalchemy

        found = {
            "sqlalchemy": sqlalchemy.__version__,
            "greenlet": _has_greenlet(),
            "outcomes": self._outcomes,
            "reasons": self._reasons,
            "sent": self._sent,
            "statements": self._statements,
            "raw": dict(self._witness.raw.most_common()),
            "without_context": self._witness.without_context,
            "differences": self._differences,
            "left_current": self._left_current,
            **(self._telemetry.end() if self._telemetry is not None else {}),
        }
        self._path.write_text(json.dumps(found))

    def _compare(self, test: str) -> None:
        sent, all_sent = self._witness.take()
        self._statements += sum(sent.values())
        if all_sent and not test.startswith("("):
            self._sent[test] = sum(all_sent.values())
        if self._telemetry is None:
            return
        from telemetry import normalised

        told, expected = self._telemetry.take(), normalised(sent)
        if told != expected:
            found: Counter[Any] = told
            found.subtract(expected)
            self._differences.setdefault(test, []).extend([count, *what] for what, count in found.items() if count)


def _has_greenlet() -> bool:
    try:
        import greenlet  # noqa: F401
    except ImportError:
        return False
    return True
