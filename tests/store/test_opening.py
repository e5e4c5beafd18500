"""What opening a path makes, and what it says when it cannot."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from otel_session.exceptions import StoreError
from otel_session.store import StoreReader, TelemetryStore
from tests.store.processes import finish, run, start
from tests.store.rows import UNCAPPED, span

_OPEN_AS_NOBODY = """
    import os, sys
    from otel_session.exceptions import StoreError
    from otel_session.store import StoreReader, TelemetryStore
    from tests.store.rows import span
    if os.getuid() == 0:  # root may write everywhere
        os.setgroups([])
        os.setuid(65534)
    try:
        if sys.argv[1] == "read":
            print(len(StoreReader(sys.argv[2]).spans("s")), "spans")
        else:
            TelemetryStore(sys.argv[2], max_bytes=0, max_age_s=0).write(spans=[span()])
            print("written")
    except StoreError as error:
        print(error)
"""


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Path]:
    """A folder that another user can look into."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_makes_a_private_file_and_its_folders(tmp_path: Path) -> None:
    """A new store, its log and the folders made for it are for their owner only, whatever the umask."""
    path = tmp_path / "a" / "b" / "telemetry.db"
    umask = os.umask(0)
    try:
        with TelemetryStore(path, **UNCAPPED) as store:
            store.write(spans=[span()])
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(umask)
    assert modes == {"telemetry.db": 0o600, "telemetry.db-wal": 0o600, "telemetry.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_settings_of_the_file(path: Path, ask: Callable[[str], Any]) -> None:
    """The file can shrink, has a write-ahead log, and says whose it is."""
    TelemetryStore(path, **UNCAPPED).close()
    assert ask("PRAGMA auto_vacuum") == 2
    assert ask("PRAGMA journal_mode") == "wal"
    assert ask("PRAGMA application_id") == 0x4F545331
    assert ask("PRAGMA user_version") == 1


def test_opening_again_keeps_what_is_there(path: Path) -> None:
    """A second opening adds to the first one's rows."""
    for _ in range(2):
        with TelemetryStore(path, **UNCAPPED) as store:
            store.write(spans=[span()])
    with StoreReader(path) as reader:
        assert len(reader.spans("s")) == 2


def test_made_by_many_at_the_same_moment(path: Path) -> None:
    """Six processes that make the same store at once all write into it."""
    makers = [
        start(
            """
            import sys
            from otel_session.store import TelemetryStore
            from tests.store.rows import span
            print("ready", flush=True)
            sys.stdin.readline()
            with TelemetryStore(sys.argv[1], max_bytes=0, max_age_s=0) as store:
                store.write(spans=[span(sys.argv[2])])
            """,
            path,
            number,
        )
        for number in range(6)
    ]
    for maker in makers:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "ready\n"
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("go\n")
        maker.stdin.flush()
    for maker in makers:
        finish(maker)
    with StoreReader(path) as reader:
        assert reader.find("") == [str(number) for number in range(6)]


def test_strange_names_are_paths(tmp_path: Path) -> None:
    """Characters with a meaning in URIs and in SQLite are ordinary ones in a file name."""
    for name in (":memory:", "a?mode=memory", "b%20#c", "ü \udcff"):
        with TelemetryStore(tmp_path / name, **UNCAPPED) as store:
            store.write(spans=[span()])
            with StoreReader(tmp_path / name) as reader:
                assert len(reader.spans("s")) == 1
        assert (tmp_path / name).stat().st_size > 0


def test_a_deleted_file_is_made_again(path: Path) -> None:
    """Telemetry written after somebody deleted or replaced the file is in the file that is there then."""
    with TelemetryStore(path, **UNCAPPED) as store, StoreReader(path) as reader:
        store.write(spans=[span("before")])
        assert reader.find("") == ["before"]
        for file in path.parent.iterdir():
            file.unlink()
        with pytest.raises(StoreError, match="no telemetry store"):
            reader.find("")
        store.write(spans=[span("after")])
        assert reader.find("") == ["after"]


def _prepare_newer(path: Path) -> None:
    TelemetryStore(path, **UNCAPPED).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")


def _prepare_foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE photos (id)")


def _prepare_garbage(path: Path) -> None:
    path.write_bytes(b"holiday pictures " * 1_000)


def _prepare_damaged(path: Path) -> None:
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[span(body=bytes(400)) for _ in range(500)])
    content = bytearray(path.read_bytes())
    content[5_000:-4096] = b"\xff" * (len(content) - 4096 - 5_000)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("prepare", "seen", "advice"),
    [
        (_prepare_newer, "store format 2; this otel-session knows format 1", "Upgrade otel-session"),
        (_prepare_foreign, "another program's SQLite database", "Choose another path"),
        (_prepare_garbage, "no SQLite database", "Move it away or choose another path"),
        (_prepare_damaged, "is damaged", "Move it away"),
        (Path.mkdir, "is a folder", "Choose the path of a file in it"),
    ],
)
def test_what_is_no_store_is_said_and_left_alone(
    path: Path, prepare: Callable[[Path], None], seen: str, advice: str
) -> None:
    """A path that holds something else: the message has the path, what was seen, what to do; nothing is changed."""
    prepare(path)
    before = None if path.is_dir() else path.read_bytes()
    for use in (_write_one, _read_one):
        with pytest.raises(StoreError) as caught:
            use(path)
        assert str(path) in str(caught.value)
        assert seen in str(caught.value)
        assert advice in str(caught.value)
    if prepare is not _prepare_damaged:
        assert before == (None if path.is_dir() else path.read_bytes())


def _write_one(path: Path) -> None:
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[span()])


def _read_one(path: Path) -> None:
    with StoreReader(path) as reader:
        reader.spans("s")


def test_reader_makes_no_file(path: Path) -> None:
    """A reader of a missing file says so and does not make it; of an empty one, that nothing is in it yet."""
    with pytest.raises(StoreError, match="There is no telemetry store at"):
        StoreReader(path)
    assert not path.exists()
    path.touch()
    with pytest.raises(StoreError, match="no telemetry has been stored"):
        StoreReader(path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A path through a file is an error that names the path."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/telemetry.db cannot be used as telemetry store: .+ another path"):
        TelemetryStore(tmp_path / "file" / "telemetry.db", **UNCAPPED)


def test_a_folder_without_permission(public: Path) -> None:
    """Where this user may not make a file, the message says so."""
    public.chmod(0o555)
    said = run(_OPEN_AS_NOBODY, "write", public / "telemetry.db")
    assert "cannot be used as telemetry store: Permission denied. Choose another path" in said
    said = run(_OPEN_AS_NOBODY, "write", public / "folder" / "telemetry.db")
    assert "Permission denied" in said


def test_a_file_without_permission(public: Path) -> None:
    """A file that this user may not read, or only read, is told from a good one."""
    path = public / "telemetry.db"
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[span()])
    if os.getuid() == 0:
        assert "cannot be opened" in run(_OPEN_AS_NOBODY, "read", path)
    path.chmod(0o444)
    public.chmod(0o555)
    assert "read-only for this user" in run(_OPEN_AS_NOBODY, "write", path)


def test_reading_in_a_folder_without_permission(public: Path) -> None:
    """A store nobody writes to can be read where this user can make no file beside it."""
    path = public / "telemetry.db"
    with TelemetryStore(path, **UNCAPPED) as store:
        store.write(spans=[span()])
    path.chmod(0o444)
    public.chmod(0o555)
    assert run(_OPEN_AS_NOBODY, "read", path) == "1 spans\n"


def test_negative_caps_are_refused(path: Path) -> None:
    """A cap below zero is an error that shows it."""
    with pytest.raises(ValueError, match="max_bytes is -1"):
        TelemetryStore(path, max_bytes=-1, max_age_s=0)
