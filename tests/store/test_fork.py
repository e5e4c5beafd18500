"""A store that is open when its process forks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_session.store import StoreReader
from tests.store.processes import run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

_BEGIN = """
    import ctypes, json, os, sqlite3, sys, threading, time
    from otel_session.store import StoreReader, TelemetryStore
    from tests.store.rows import span

    def wait(child):
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    path = sys.argv[1]
    store = TelemetryStore(path, max_bytes=0, max_age_s=0)
    reader = StoreReader(path)
    store.write(spans=[span("before")])
    assert reader.find("") == ["before"]
"""


def test_parent_and_children_write_on(path: Path, ask: Callable[[str], Any]) -> None:
    """After a fork, parent and children write and read through the same objects, and nothing is lost or doubled."""
    run(
        _BEGIN
        + """
    children = []
    for name in "abc":
        child = os.fork()
        if child == 0:
            for _ in range(50):
                store.write(spans=[span(name)])
            assert len(reader.spans(name)) == 50
            sys.exit()  # the ordinary way out: the interpreter closes what it finds open
        children.append(child)
    for _ in range(50):
        store.write(spans=[span("parent")])
    for child in children:
        wait(child)
    assert len(reader.spans("parent")) == 50
        """,
        path,
    )
    with StoreReader(path) as reader:
        assert {name: len(reader.spans(name)) for name in reader.find("")} == {
            "a": 50,
            "b": 50,
            "before": 1,
            "c": 50,
            "parent": 50,
        }
    assert ask("PRAGMA integrity_check") == "ok"


@pytest.mark.parametrize("fork", ["os.fork", "ctypes.PyDLL(None).fork"])
def test_a_child_holds_its_own_locks(path: Path, ask: Callable[[str], Any], fork: str) -> None:
    """When the parent has closed it and another program opens and closes the file, the log stays a child's.

    SQLite removes the write-ahead log when the last connection closes; whether there is another it knows by locks,
    and a child does not inherit its parent's. The second way of forking is a C server's: it runs no hooks.
    """
    run(
        _BEGIN
        + f"""
    ready_in, ready_out = os.pipe()
    hold_in, hold_out = os.pipe()
    child = {fork}()
    if child == 0:
        store.write(spans=[span("child")])
        os.write(ready_out, b"written")
        os.read(hold_in, 1)
        store.write(spans=[span("child")])
        os._exit(0)
    store.close()
    reader.close()
    os.read(ready_in, 7)
    other = sqlite3.connect(path)
    assert other.execute("SELECT count(*) FROM spans").fetchone()[0] == 2
    other.close()
    assert os.path.exists(path + "-wal")
    os.write(hold_out, b".")
    wait(child)
        """,
        path,
    )
    assert ask("SELECT count(*) FROM spans") == 3


def test_no_connection_crosses_a_fork(path: Path) -> None:
    """A child begins with no open descriptor of the file: its closing could not be told from its parent's."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("open files cannot be listed here")
    code = """
    import os
    def look():
        opened = [os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")]
        os.write(1, str([name for name in opened if "telemetry" in name]).encode())
    os.register_at_fork(after_in_child=look)  # before the store's own, which would close it
    """
    out = run(
        code
        + _BEGIN
        + """
    child = os.fork()
    if child == 0:
        os._exit(0)
    wait(child)
        """,
        path,
    )
    assert out == "[]"


def test_a_fork_in_the_middle_of_a_write(path: Path) -> None:
    """A fork while another thread writes waits for it; the child is neither locked out nor does it undo the write."""
    out = run(
        _BEGIN
        + """
    def write():
        for n in range(300):
            store.write(spans=[span("thread") for _ in range(100)])
    thread = threading.Thread(target=write)
    thread.start()
    import warnings
    warnings.simplefilter("ignore")  # Python 3.12 warns of any fork beside threads
    children = []
    for n in range(20):
        child = os.fork()
        if child == 0:
            store.write(spans=[span("child")])
            os._exit(0)
        children.append(child)
    for child in children:
        wait(child)
    forked_meanwhile = thread.is_alive()
    thread.join()
    connection = sqlite3.connect(path)
    sound = connection.execute("PRAGMA integrity_check").fetchone()[0]
    print(json.dumps([len(reader.spans("thread")), len(reader.spans("child")), sound, forked_meanwhile]))
    connection.close()
        """,
        path,
    )
    assert json.loads(out) == [30_000, 20, "ok", True]


def test_a_fork_past_python(path: Path, ask: Callable[[str], Any]) -> None:
    """A child forked by a C server, without Python's hooks, starts anew too."""
    run(
        _BEGIN
        + """
    child = ctypes.PyDLL(None).fork()
    if child == 0:
        try:
            store.write(spans=[span("child")])
            assert reader.find("") == ["before", "child"]
            store.close()
        finally:
            os._exit(sys.exc_info()[0] is not None)
    wait(child)
    store.write(spans=[span("parent")])
    assert reader.find("") == ["before", "child", "parent"]
        """,
        path,
    )
    assert ask("PRAGMA integrity_check") == "ok"
    assert ask("SELECT count(*) FROM spans") == 3
