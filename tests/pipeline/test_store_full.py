"""A disk that is full: what was ended meanwhile is in the store when there is room again."""

import contextlib
import pathlib
import resource
import signal
from collections.abc import Iterator

import pytest

from otel_session import config
from otel_session.exporters import local_store
from otel_session.exporters.local import LocalSpanExporter
from otel_session.store import StoreReader
from tests.pipeline.made import lines_of, made, wait_until

FULL = 300_000


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Files of this process cannot grow beyond `FULL` bytes."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def store(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """Where the configuration in force has its store."""
    path = tmp_path / "telemetry.db"
    monkeypatch.setattr(local_store, "_stores", {})
    monkeypatch.setenv("OTEL_SESSION_STORE", str(path))
    yield path
    config.activate(None)


def test_full_disk(store: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """Spans wait while the store cannot grow, and are in it once each when it can; one line each way."""
    with made(LocalSpanExporter()) as ours:
        ours.spans(10)
        assert ours.provider.force_flush()
        with full_disk():
            ours.spans(3_000, 10)
            wait_until(lambda: ours.courier.failing is not None)
            assert ours.lane.held_count > 0
        wait_until(lambda: not ours.lane.held_count)
    assert ours.lane.counts.delivered == 3_010
    with StoreReader(store) as reader:
        assert reader.counts()["spans"] == 3_010
    assert len(lines_of(caplog, "cannot keep telemetry")) == 1
    assert len(lines_of(caplog, "keeps telemetry again")) == 1


def test_a_row_that_cannot_be_kept(store: pathlib.Path) -> None:
    """One row that the store refuses for what it is costs that row, counted, and none beside it."""
    with made(LocalSpanExporter(), linger_s=5) as ours:
        ours.spans(100)

        origin = next(iter(ours.lane._fresh.items))[0]
        ours.lane.put(origin, None, 100)
        ours.spans(100, 100)
        ours.provider.force_flush()
    assert ours.lane.counts.delivered == 200
    assert sum(ours.dropped.values()) == 1
    with StoreReader(store) as reader:
        assert reader.counts()["spans"] == 200
