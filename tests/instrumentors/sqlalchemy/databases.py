"""One way to execute on each driver, sync or async, and what its errors are called."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import create_engine
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

T = TypeVar("T")


@dataclass(frozen=True)
class Driver:
    """What telemetry calls a driver's database and its unique violation.

    Attributes:
        server: Name of the fixture that runs it; None for SQLite.
    """

    server: str | None
    system: str
    unique: tuple[str, str]
    is_async: bool = False


_POSTGRESQL = ("postgresql", "postgresql")
DRIVERS = {
    "sqlite": Driver(None, "sqlite", ("sqlite3.IntegrityError", "SQLITE_CONSTRAINT_UNIQUE")),
    "sqlite+aiosqlite": Driver(None, "sqlite", ("sqlite3.IntegrityError", "SQLITE_CONSTRAINT_UNIQUE"), True),
    "postgresql+psycopg2": Driver(*_POSTGRESQL, ("psycopg2.errors.UniqueViolation", "23505")),
    "postgresql+psycopg": Driver(*_POSTGRESQL, ("psycopg.errors.UniqueViolation", "23505")),
    "postgresql+psycopg_async": Driver(*_POSTGRESQL, ("psycopg.errors.UniqueViolation", "23505"), True),
    "postgresql+asyncpg": Driver(*_POSTGRESQL, ("asyncpg.exceptions.UniqueViolationError", "23505"), True),
    "mysql+pymysql": Driver("mariadb", "mariadb", ("pymysql.err.IntegrityError", "1062")),
    "mariadb+pymysql": Driver("mariadb", "mariadb", ("pymysql.err.IntegrityError", "1062")),
}
SYNC = [name for name, driver in DRIVERS.items() if not driver.is_async]


class Database:
    """An engine of a driver; `run` executes in one transaction."""

    def __init__(self, driver: str, url: str, **options: Any) -> None:
        self.driver = DRIVERS[driver]
        if driver.startswith("sqlite"):
            options = {"poolclass": StaticPool, **options}
        if self.driver.is_async:
            self.loop = asyncio.new_event_loop()
            self.engine: Any = create_async_engine(url, **options)
        else:
            self.engine = create_engine(url, **options)

    def run(self, work: Callable[[Connection], T]) -> T:
        """Call `work` with a connection in a transaction; sync code on async drivers too."""
        if not self.driver.is_async:
            with self.engine.begin() as connection:
                return work(connection)

        async def inside() -> T:
            async with self.engine.begin() as connection:
                return await connection.run_sync(work)

        return self.loop.run_until_complete(inside())

    def dispose(self) -> None:
        """Close the connections."""
        if self.driver.is_async:
            self.loop.run_until_complete(self.engine.dispose())
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()
        else:
            self.engine.dispose()
