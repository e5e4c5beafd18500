"""Pool metrics against a real PostgreSQL: at every look, what it has open is what we say."""

import asyncio
import contextlib
import gc
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, exc, text
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, StaticPool

import otel_session
from otel_session import held_connections, testing
from tests.instrumentors.sqlalchemy.pools import counts, names, seen, states
from tests.servers import Server

NAME = "looked-at"
THREADS, ROUNDS = 8, 25
BACKENDS = text("select count(*) from pg_stat_activity where application_name = :name")


@pytest.fixture
def open_on_server(postgresql: Server) -> Iterator[Callable[[], int]]:
    """How many connections of the tested engine PostgreSQL has; asked over a connection of its own."""
    gc.collect()
    control = create_engine(postgresql.url("postgresql+psycopg2"), poolclass=NullPool, pool_logging_name="control")

    def count() -> int:
        with control.connect() as connection:
            return int(connection.execute(BACKENDS, {"name": NAME}).scalar_one())

    yield count
    control.dispose()


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection inside: one between two readings closes what a disposed pool still held at the first."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _settles(read: Callable[[], int], expected: int) -> int:
    """What is read, once it is as expected or five seconds are over: a server process takes its time to go."""
    deadline = time.monotonic() + 5
    while (found := read()) != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


class Worker:
    """One thread's part of a round; it holds what it holds until the round is looked at."""

    def __init__(self, engine: Engine, number: int, seed: int) -> None:
        self.engine, self.number = engine, number
        self.random = random.Random(seed)
        self.held: Any = None
        self.detached = False

    def act(self) -> None:
        action = self.random.choice(["hold", "hold", "return", "invalidate", "again", "detach", "killed", "leak"])
        with otel_session.bound_session(f"worker-{self.number}"):
            connection = self.engine.connect()
            connection.execute(text("select 1"))
        if action == "hold":
            self.held = connection
            return
        if action in ("invalidate", "again"):
            connection.invalidate()
            if action == "again":
                connection.rollback()
                with otel_session.bound_session(f"worker-{self.number}"):
                    connection.execute(text("select 1"))
                self.held = connection
                return
        if action == "detach":
            connection.detach()
            self.held, self.detached = connection, True
            return
        if action == "killed":
            with pytest.raises(exc.DBAPIError):
                connection.execute(text("select pg_terminate_backend(pg_backend_pid())"))
        connection.close()
        if action == "leak":
            forgotten = self.engine.raw_connection()
            del forgotten

    def let_go(self) -> None:
        if self.held is not None:
            self.held.close()
        self.held, self.detached = None, False


def test_equal_to_the_server_and_the_pool_at_every_look(
    postgresql: Server, open_on_server: Callable[[], int], telemetry: testing.Captured
) -> None:
    """Eight threads hold, return, invalidate, detach, leak and are killed; dispose() in between; 25 looks."""
    engine = create_engine(
        postgresql.url("postgresql+psycopg2"),
        pool_size=5,
        max_overflow=5,
        pool_logging_name=NAME,
        connect_args={"application_name": NAME},
    )
    workers = [Worker(engine, number, seed=number) for number in range(THREADS)]
    barrier = threading.Barrier(THREADS + 1, timeout=60)
    errors: list[BaseException] = []

    def run(worker: Worker) -> None:
        try:
            for _ in range(ROUNDS):
                worker.act()
                barrier.wait()  # everybody has acted
                barrier.wait()  # everybody was looked at
                worker.let_go()
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    def look(*, dispose: bool, counted: bool) -> None:
        used, idle = states(telemetry, NAME)
        holders = {f"worker-{w.number}" for w in workers if w.held is not None and not w.detached}
        detached = sum(w.detached for w in workers)
        assert used == len(holders)
        assert {held.session_id for held in held_connections() if held.pool == NAME} == holders
        assert _settles(open_on_server, used + idle + detached) == used + idle + detached
        if counted:  # dispose() upsets how a pool with connections out counts them
            assert engine.pool.checkedout() == used  # type: ignore[attr-defined]
        if dispose:
            engine.dispose()
            used, idle = states(telemetry, NAME)
            assert used == len(holders)
            assert _settles(open_on_server, used + idle + detached) == used + idle + detached

    threads = [threading.Thread(target=run, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        for number in range(ROUNDS):
            barrier.wait()
            with _no_collection():
                look(dispose=number >= ROUNDS // 2 and number % 4 == 0, counted=number < ROUNDS // 2)
            barrier.wait()
    except BaseException:
        barrier.abort()  # nobody waits for a look that failed
        raise
    finally:
        for thread in threads:
            thread.join()
    assert errors == []
    measured = counts(telemetry, NAME)
    assert measured["wait"] == measured["use"]  # each checkout ended once
    assert measured["wait"] >= THREADS * ROUNDS
    assert held_connections() == []
    engine.dispose()
    gc.collect()
    assert (states(telemetry, NAME), _settles(open_on_server, 0)) == ((0, 0), 0)


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg"])
def test_asynchronous_engines(
    driver: str, postgresql: Server, open_on_server: Callable[[], int], telemetry: testing.Captured
) -> None:
    """The pool of an asynchronous engine: holders, those who wait, timeouts, invalidate and dispose."""
    name = {"server_settings": {"application_name": NAME}} if "asyncpg" in driver else {"application_name": NAME}

    async def work() -> None:
        engine = create_async_engine(
            postgresql.url(driver),
            pool_size=1,
            max_overflow=1,
            pool_timeout=0.2,
            pool_logging_name=NAME,
            connect_args=name,
        )
        release = asyncio.Event()

        async def hold(number: int) -> None:
            with otel_session.bound_session(f"task-{number}"):
                async with engine.connect() as connection:
                    await connection.execute(text("select 1"))
                    await release.wait()

        tasks = [asyncio.create_task(hold(number)) for number in range(3)]
        await asyncio.sleep(0.1)
        now = seen(telemetry, NAME)
        assert (now.used, now.idle, now.pending, now.overflow, now.most) == (2, 0, 1, 1, 2)
        assert {held.session_id for held in held_connections(stacks=True)} == {"task-0", "task-1"}
        assert all(held.stack == () for held in held_connections(stacks=True))
        assert await asyncio.to_thread(open_on_server) == 2
        with pytest.raises(exc.TimeoutError):
            await tasks.pop()
        release.set()
        await asyncio.gather(*tasks)
        now = seen(telemetry, NAME)
        assert (now.used, now.idle, now.pending, now.timeouts) == (0, 1, 0, 1)
        async with engine.connect() as connection:
            await connection.invalidate()
            assert states(telemetry, NAME) == (0, 0)
        async with engine.connect() as connection:
            await engine.dispose()
            assert states(telemetry, NAME) == (1, 0)
            assert await asyncio.to_thread(_settles, open_on_server, 1) == 1
            await connection.invalidate()  # else the old pool keeps it open until it is gone
        task = asyncio.create_task(hold(9))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert states(telemetry, NAME)[0] == 0
        assert seen(telemetry, NAME).pending == 0
        await engine.dispose()

    asyncio.run(work())
    measured = counts(telemetry, NAME)
    assert measured["wait"] == measured["use"]
    assert held_connections() == []


@pytest.mark.parametrize("kind", [NullPool, StaticPool])
def test_pools_that_do_not_count(
    kind: Any, postgresql: Server, open_on_server: Callable[[], int], telemetry: testing.Captured
) -> None:
    """NullPool and StaticPool say nothing of themselves; the numbers are the server's all the same."""
    arguments = {"application_name": NAME}
    engine = create_engine(
        postgresql.url("postgresql+psycopg2"), poolclass=kind, pool_logging_name=NAME, connect_args=arguments
    )
    held = [engine.connect() for _ in range(3)]
    for connection in held:
        connection.execute(text("select 1"))
    while True:
        used, idle = states(telemetry, NAME)
        assert _settles(open_on_server, used + idle) == used + idle
        assert used == (len(held) if kind is NullPool else min(1, len(held)))
        if not held:
            break
        held.pop().close()
    engine.dispose()


def test_names_on_a_server(postgresql: Server, telemetry: testing.Captured) -> None:
    """The name is the server's address, port and database."""
    gc.collect()
    engine = create_engine(postgresql.url("postgresql+psycopg2"))
    with engine.connect():
        assert names(telemetry) == [f"127.0.0.1:{postgresql.port}/postgres"]
    engine.dispose()
