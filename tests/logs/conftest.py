"""A logger with a handler of its own, and logging put back afterwards as it was."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from otel_session import config, logs
from otel_session.config import Config


@pytest.fixture
def written() -> io.StringIO:
    """Where the logger's handler writes."""
    return io.StringIO()


@pytest.fixture
def log(written: io.StringIO) -> logging.Logger:
    """A logger whose stream handler has no formatter yet, and that pytest's own handlers do not find."""
    made = logging.Logger("shop.orders", logging.DEBUG)
    made.addHandler(logging.StreamHandler(written))
    return made


@pytest.fixture
def fresh_logging() -> Iterator[logging.Logger]:
    """Logging as a fresh process has it, and a logger in it that propagates; everything is put back afterwards."""
    root, made = logging.getLogger(), logging.getLogger("shop.till")
    kept, level = root.handlers[:], root.level
    root.handlers = []
    root.setLevel(logging.WARNING)
    yield made
    for handler in [*root.handlers, *made.handlers]:
        if handler not in kept:
            handler.close()
    root.handlers = kept
    root.setLevel(level)
    made.handlers, made.filters, made.propagate, made.disabled = [], [], True, False
    made.setLevel(logging.NOTSET)


@pytest.fixture
def json_log(log: logging.Logger) -> logging.Logger:
    """The logger, its handler with our JSON formatter."""
    log.handlers[0].setFormatter(logs.JsonFormatter())
    return log


@pytest.fixture
def lines(written: io.StringIO) -> Callable[[], list[Any]]:
    """What was written, each line read as strict JSON."""

    def read() -> list[Any]:
        def refuse(word: str) -> None:
            raise ValueError(word)

        text = written.getvalue()
        assert text == "" or text.endswith("\n")
        return [json.loads(line, parse_constant=refuse) for line in text.split("\n")[:-1]]

    return read


@pytest.fixture
def using() -> Iterator[Any]:
    """Puts settings in force, and the former ones back."""
    before = config._active
    yield lambda **wanted: config.activate(Config.load({}, **wanted))
    config.activate(before)
