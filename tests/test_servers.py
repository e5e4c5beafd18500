"""The servers that tests start: none is left behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests import servers
from tests.servers import postgresql, redis_server  # noqa: F401  # fixtures

HOLD = """
import time
from tests import servers
with servers.{}() as server:
    print(server.port, server.folder, flush=True)
    time.sleep(60)
"""


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((servers.HOST, port)) == 0


def _gone(port: int, *, within_s: float = 15.0) -> bool:
    deadline = time.monotonic() + within_s
    while _listens(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(("run", "fixture"), [("run_postgresql", "postgresql"), ("run_redis", "redis_server")])
def test_a_killed_test_run_leaves_no_server(run: str, fixture: str, request: pytest.FixtureRequest) -> None:
    """SIGKILL to the Python that started it: the kernel ends the server."""
    request.getfixturevalue(fixture)  # skips where it is not installed
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed. Install it with: apt-get install util-linux")
    root = os.path.dirname(os.path.dirname(servers.__file__))
    holder = subprocess.Popen([sys.executable, "-c", HOLD.format(run)], stdout=subprocess.PIPE, text=True, cwd=root)
    assert holder.stdout is not None
    said, folder = holder.stdout.readline().split()
    port = int(said)
    assert _listens(port)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    gone = _gone(port)
    shutil.rmtree(folder, ignore_errors=True)
    assert gone


def test_a_server_stops_with_its_block(redis_server: servers.Server) -> None:  # noqa: F811
    """At the end of the block nobody listens, and its folder is gone."""
    with servers.run_redis() as server:
        assert _listens(server.port)
    assert not _listens(server.port)
    assert not server.folder.exists()


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skipped with what to install; a failure where the servers are required."""
    monkeypatch.setattr(servers.shutil, "which", lambda *a, **k: None)
    monkeypatch.delenv("OTEL_SESSION_REQUIRE_BACKENDS", raising=False)
    with (
        pytest.raises(pytest.skip.Exception, match="apt-get install redis-server"),
        servers._or_skip(servers.run_redis),
    ):
        pass
    monkeypatch.setenv("OTEL_SESSION_REQUIRE_BACKENDS", "1")
    with (
        pytest.raises(pytest.fail.Exception, match="apt-get install redis-server"),
        servers._or_skip(servers.run_redis),
    ):
        pass
