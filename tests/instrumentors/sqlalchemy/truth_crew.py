"""The truth test's workers at work, all at once: on threads, or as asyncio tasks."""

import asyncio
import contextlib
import gc
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import otel_session
from tests.instrumentors.sqlalchemy import truth_work
from tests.instrumentors.sqlalchemy.truth_seen import Seen
from tests.instrumentors.sqlalchemy.truth_servers import MariaDB, PostgreSQL
from tests.instrumentors.sqlalchemy.truth_work import COMMIT, ENDS, ROLLBACK, OopsError, Worker

ASYNCHRONOUS = ("asyncpg", "psycopg_async")
ROUND = 125
"""Operations of each worker between two looks."""
_LEAK_EVERY, _COLLECT_EVERY = 50, 4
_SUPPRESSED = (DBAPIError, OopsError)
_runs = itertools.count(1)


class Threads:
    """Workers on threads, with synchronous ORM sessions."""

    make_engine: Any = staticmethod(create_engine)

    def __init__(
        self, server: PostgreSQL | MariaDB, workers: list[Worker], works: list[truth_work.Work], seen: Seen
    ) -> None:
        # There is room for everybody, and for what leaks meanwhile.
        room = {"pool_size": len(workers), "max_overflow": 2 * len(workers)}
        # Where a run before has failed, its engine is still there, and has its pool's name.
        self.pool = f"truth-{next(_runs)}"
        self.engine: Any = self.make_engine(
            server.url, **room, pool_logging_name=self.pool, connect_args=server.arguments
        )
        self.sync_engine = getattr(self.engine, "sync_engine", self.engine)
        self.workers, self.works = workers, works
        self.tracer = seen.provider.get_tracer("application")
        self.held: dict[Worker, Any] = {}
        self._threads = ThreadPoolExecutor(len(workers))

    def all_at_once(self, act: Callable[[Worker], Any]) -> None:
        """Have every worker act, and wait for all."""
        list(self._threads.map(act, self.workers))

    def work(self, worker: Worker) -> None:
        """One worker's part of a round; half of them hold a unit of work open at its end."""
        for number in range(ROUND):
            work = worker.random.choice(self.works)
            with contextlib.ExitStack() as stack:
                stack.enter_context(otel_session.bound_session(f"session-{worker.number}"))
                if worker.random.random() < 0.8:
                    stack.enter_context(self.tracer.start_as_current_span("request"))
                if number % _LEAK_EVERY == worker.number:
                    truth_work.leaked(Session(self.engine), worker)
                else:
                    self.perform(work, worker)
            if number % _LEAK_EVERY == worker.number and worker.number % _COLLECT_EVERY == 0:
                gc.collect()
        if worker.random.random() < 0.5:
            with otel_session.bound_session(f"session-{worker.number}"):
                orm = self.held[worker] = Session(self.engine)
                worker.write(orm)

    def perform(self, work: truth_work.Work, worker: Worker) -> None:
        """One piece of work."""
        with contextlib.suppress(*_SUPPRESSED), Session(self.engine) as orm:
            end = work(orm, worker)
            if end == COMMIT:
                orm.commit()
            elif end == ROLLBACK:
                orm.rollback()

    def let_go(self, worker: Worker) -> None:
        """End what was held; mostly on another thread than it was begun on."""
        orm = self.held.pop(worker, None)
        if orm is not None:
            end = worker.random.choice(ENDS)
            if end != truth_work.CLOSE:
                getattr(orm, end)()
            orm.close()

    def run_sync(self, act: Callable[[Any], Any]) -> None:
        """Call with a connection, in a transaction."""
        with self.engine.begin() as connection:
            act(connection)

    def wait(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    def dispose(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    def close(self) -> None:
        """End."""
        self._threads.shutdown()


class Tasks(Threads):
    """Workers as asyncio tasks, with asynchronous ORM sessions."""

    make_engine = staticmethod(create_async_engine)

    def __init__(self, *args: Any) -> None:
        self._loop = asyncio.new_event_loop()
        super().__init__(*args)

    def all_at_once(self, act: Callable[[Worker], Any]) -> None:
        async def gather() -> None:
            await asyncio.gather(*(act(worker) for worker in self.workers))

        self._loop.run_until_complete(gather())

    async def work(self, worker: Worker) -> None:
        for number in range(ROUND):
            work = worker.random.choice(self.works)
            with contextlib.ExitStack() as stack:
                stack.enter_context(otel_session.bound_session(f"session-{worker.number}"))
                if worker.random.random() < 0.8:
                    stack.enter_context(self.tracer.start_as_current_span("request"))
                if number % _LEAK_EVERY == worker.number:
                    await AsyncSession(self.engine).run_sync(truth_work.leaked, worker)
                else:
                    await self.perform(work, worker)
            if number % _LEAK_EVERY == worker.number and worker.number % _COLLECT_EVERY == 0:
                gc.collect()
        if worker.random.random() < 0.5:
            with otel_session.bound_session(f"session-{worker.number}"):
                orm = self.held[worker] = AsyncSession(self.engine)
                await orm.run_sync(worker.write)

    async def perform(self, work: truth_work.Work, worker: Worker) -> None:
        with contextlib.suppress(*_SUPPRESSED):
            async with AsyncSession(self.engine) as orm:
                end = await orm.run_sync(work, worker)
                if end == COMMIT:
                    await orm.commit()
                elif end == ROLLBACK:
                    await orm.rollback()

    async def let_go(self, worker: Worker) -> None:
        orm = self.held.pop(worker, None)
        if orm is not None:
            end = worker.random.choice(ENDS)
            if end != truth_work.CLOSE:
                await getattr(orm, end)()
            await orm.close()

    def run_sync(self, act: Callable[[Any], Any]) -> None:
        async def inside() -> None:
            async with self.engine.begin() as connection:
                await connection.run_sync(act)

        self._loop.run_until_complete(inside())

    def wait(self, seconds: float) -> None:
        self._loop.run_until_complete(asyncio.sleep(seconds))  # what is being closed gets on with it

    def dispose(self) -> None:
        self._loop.run_until_complete(self.engine.dispose())

    def close(self) -> None:
        super().close()
        self._loop.close()
