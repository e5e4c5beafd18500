"""Real PostgreSQL, MariaDB and Redis for tests: on free loopback ports, with temporary folders, stopped at the end.

Import the fixtures into a `conftest.py`: `from tests.servers import mariadb, postgresql, redis_server  # noqa: F401`.
"""

import contextlib
import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

HOST = "127.0.0.1"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
_TRIES = 3  # another process may take a free port before the server does
_POSTGRESQL = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        port: On 127.0.0.1.
        user: A user of the server who may do everything, without a password; empty for Redis.
        folder: Its data and its log.
        statistics: Whether PostgreSQL counts statements (pg_stat_statements).
    """

    port: int
    user: str
    folder: Path
    statistics: bool = False

    def url(self, driver: str, database: str = "") -> str:
        """A SQLAlchemy URL, of the database the server came with unless another is named."""
        default = "postgres" if driver.startswith("postgresql") else "mysql"
        return f"{driver}://{self.user}@{HOST}:{self.port}/{database or default}"


class MissingServerError(Exception):
    """A server's program is not on this machine; the text says how to get it."""


class StartError(Exception):
    """A server did not come up; the text has the end of its log."""


@contextlib.contextmanager
def run_postgresql() -> Iterator[Server]:
    """A PostgreSQL that keeps nothing safe on disk; counts statements where the extension is installed."""
    programs = _postgresql_programs()
    owner = _account("postgres")
    with _folder("pg", owner) as folder:
        data = folder / "data"
        made = ["-U", "tester", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        _run([str(programs / "initdb"), "-D", str(data), *made], folder, owner)
        counts = (programs.parent / "lib" / "pg_stat_statements.so").exists()
        settings = {"fsync": "off", "unix_socket_directories": "", "listen_addresses": HOST, "max_connections": "100"}
        settings["max_prepared_transactions"] = "20"
        if counts:
            settings["shared_preload_libraries"] = "pg_stat_statements"

        def command(port: int) -> list[str]:
            options = [f"-c{key}={value}" for key, value in settings.items()]
            return [str(programs / "postgres"), "-D", str(data), "-p", str(port), *options]

        def ready(port: int) -> bool:
            asked = [str(programs / "pg_isready"), "-q", "-h", HOST, "-p", str(port)]
            return subprocess.run(asked, capture_output=True).returncode == 0

        with _serving(command, ready, folder, owner, stop=signal.SIGINT) as port:
            yield Server(port, "tester", folder, counts)


@contextlib.contextmanager
def run_mariadb() -> Iterator[Server]:
    """A MariaDB that writes all it is asked to `general.log` in its folder."""
    program, install = _program("mariadbd", "mariadb-server"), _program("mariadb-install-db", "mariadb-server")
    with _folder("my", None) as folder:
        data = folder / "data"
        root = ["--user=root"] if os.getuid() == 0 else []
        made = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        _run([install, "--no-defaults", f"--datadir={data}", *made, *root], folder, None)

        def command(port: int) -> list[str]:
            where = [f"--datadir={data}", f"--socket={folder}/s", f"--pid-file={folder}/pid", f"--tmpdir={folder}"]
            heard = [f"--port={port}", f"--bind-address={HOST}", "--skip-name-resolve"]
            logs = ["--innodb-flush-log-at-trx-commit=0", "--general-log", f"--general-log-file={folder}/general.log"]
            return [program, "--no-defaults", *root, *where, *heard, *logs]

        with _serving(command, _greets, folder, None, stop=signal.SIGTERM) as port:
            yield Server(port, "root", folder)


@contextlib.contextmanager
def run_redis() -> Iterator[Server]:
    """A Redis that saves nothing."""
    program = _program("redis-server", "redis-server")
    with _folder("redis", None) as folder:

        def command(port: int) -> list[str]:
            return [program, "--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no"]

        with _serving(command, _pongs, folder, None, stop=signal.SIGTERM) as port:
            yield Server(port, "", folder)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL for this run of pytest; tests make tables of their own names."""
    with _or_skip(run_postgresql) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """A MariaDB for this run of pytest; tests make tables of their own names."""
    with _or_skip(run_mariadb) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """A Redis for this run of pytest; tests use keys of their own."""
    with _or_skip(run_redis) as server:
        yield server


@contextlib.contextmanager
def _or_skip(run: Callable[[], contextlib.AbstractContextManager[Server]]) -> Iterator[Server]:
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(run())
        except MissingServerError as missing:
            _missing(str(missing))
        yield server


def _missing(sentence: str) -> NoReturn:
    if os.environ.get("OTEL_SESSION_REQUIRE_BACKENDS") == "1":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def _program(name: str, package: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        raise MissingServerError(f"{name} is not installed. Install it with: apt-get install {package}")
    return found


@functools.cache
def _postgresql_programs() -> Path:
    found = sorted(_POSTGRESQL.glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]) if p.parts[-3].isdigit() else 0)
    if found:
        return found[-1].parent
    elsewhere = shutil.which("postgres")
    if elsewhere is None:
        raise MissingServerError("PostgreSQL is not installed. Install it with: apt-get install postgresql")
    return Path(elsewhere).parent


def _account(name: str) -> str | None:
    """The account a server runs as when we are root: PostgreSQL refuses root. None when we are not."""
    if os.getuid() != 0:
        return None
    try:
        pwd.getpwnam(name)
    except KeyError:
        raise MissingServerError(f"PostgreSQL does not run as root. Make an account for it: useradd {name}") from None
    return name


@contextlib.contextmanager
def _folder(name: str, owner: str | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"otel-session-{name}-"))  # short: a socket's path has at most 107 bytes
    try:
        if owner is not None:
            shutil.chown(folder, owner)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _serving(
    command: Callable[[int], list[str]],
    ready: Callable[[int], bool],
    folder: Path,
    owner: str | None,
    *,
    stop: signal.Signals,
) -> Iterator[int]:
    for last in (False,) * (_TRIES - 1) + (True,):
        port = _free_port()
        process = _start(command(port), folder, owner, stop)
        try:
            if _comes_up(process, lambda port=port: ready(port)):
                yield port
                return
            if last:
                raise StartError(f"{command(port)[0]} did not come up. Its log ends with:\n{_log_tail(folder)}")
        finally:
            _end(process, stop)


def _start(command: list[str], folder: Path, owner: str | None, stop: signal.Signals) -> subprocess.Popen[bytes]:
    setpriv = shutil.which("setpriv")  # the kernel ends the server when this Python dies first
    prefix = [setpriv, "--pdeathsig", stop.name.removeprefix("SIG")] if setpriv else []
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [*prefix, *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=owner,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LC_ALL": "C"},
        )


def _comes_up(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        if ready():
            return process.poll() is None
        time.sleep(0.05)
    return False


def _end(process: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    if process.poll() is not None:
        return
    process.send_signal(stop)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_TIMEOUT_S)


def _run(command: list[str], folder: Path, owner: str | None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, user=owner)
    if done.returncode:
        raise StartError(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def _log_tail(folder: Path) -> str:
    return "\n".join((folder / "log").read_text(errors="replace").splitlines()[-20:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _answers(port: int, said: bytes, expected: bytes) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            if said:
                connection.sendall(said)
            return expected in connection.recv(64)
    except OSError:
        return False


def _pongs(port: int) -> bool:
    return _answers(port, b"PING\r\n", b"PONG")


def _greets(port: int) -> bool:
    return _answers(port, b"", b"MariaDB")
