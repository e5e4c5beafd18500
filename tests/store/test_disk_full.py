"""A disk without room."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_session.exceptions import StoreError
from otel_session.store import StoreReader, TelemetryStore
from tests.store.rows import UNCAPPED, ago, span, visit


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_file(path: Path, ask: Callable[[str], Any]) -> None:
    """A write that finds no room raises StoreError and leaves nothing; a later one that fits is stored."""
    with TelemetryStore(path, **UNCAPPED) as store, StoreReader(path) as reader:
        store.write(spans=[span("first")])
        with store._handle.use() as connection:
            connection.execute("PRAGMA max_page_count = 60")
        with pytest.raises(StoreError, match=r"cannot grow: the disk is full. Free some space or lower"):
            store.write(spans=visit("large", at_ns=0, spans=1_000))
        assert reader.find("") == ["first"]
        store.write(spans=[span("small")])
        with store._handle.use() as connection:
            connection.execute("PRAGMA max_page_count = 1000000")
        store.write(spans=visit("large", at_ns=0, spans=1_000))
        assert reader.find("") == ["first", "large", "small"]
        assert len(reader.spans("large")) == 1_000
    assert ask("PRAGMA integrity_check") == "ok"


def test_a_full_disk(small_disk: Path) -> None:
    """On a disk that fills up, what was stored stays sound and readable, and writing goes on when there is room."""
    path = small_disk / "telemetry.db"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    stored = 0
    with TelemetryStore(path, **UNCAPPED) as store:
        with pytest.raises(StoreError, match=r"cannot grow: the disk is full|Check the disk"):  # noqa: PT012 -- some write
            for stored in range(1_000):
                store.write(spans=visit(f"{stored:03}", at_ns=ago(1_000 - stored)))
        with StoreReader(path) as reader:
            assert reader.find("") == [f"{n:03}" for n in range(stored)]
        ballast.unlink()
        store.write(spans=visit("after", at_ns=ago(0)))
    with StoreReader(path) as reader:
        assert len(reader.find("")) == stored + 1
        assert all(len(reader.spans(session_id)) == 100 for session_id in reader.find(""))
        with reader._handle.use() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_no_room_for_a_new_store(small_disk: Path) -> None:
    """Making a store on a full disk is a StoreError, and works once there is room."""
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(3_000_000))
    with pytest.raises(StoreError, match="disk"):
        TelemetryStore(small_disk / "telemetry.db", **UNCAPPED)
    ballast.unlink()
    with TelemetryStore(small_disk / "telemetry.db", **UNCAPPED) as store:
        store.write(spans=[span()])
