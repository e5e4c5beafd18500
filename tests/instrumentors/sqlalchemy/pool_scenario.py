"""What happens to pooled connections, for one version of SQLAlchemy; prints what the metrics said as JSON.

Run by `test_pool_versions.py` in an environment of its own. Imports nothing of the tests.
"""

import asyncio
import gc
import json
import sys
import tempfile
import threading
import warnings
from typing import Any

warnings.simplefilter("error")
warnings.filterwarnings("ignore", message=".*SQLALCHEMY_WARN_20.*|.*Deprecated API features.*")  # 1.4's notice

import sqlalchemy  # noqa: E402
from sqlalchemy import create_engine, text  # noqa: E402
from sqlalchemy.exc import TimeoutError as PoolTimeoutError  # noqa: E402
from sqlalchemy.pool import AssertionPool, NullPool, QueuePool, SingletonThreadPool, StaticPool  # noqa: E402

import otel_session  # noqa: E402
from otel_session import testing  # noqa: E402

STATE = "db.client.connection.state"
ANYWHERE = {"check_same_thread": False}


class Look:
    """Reads the one pool there is."""

    def __init__(self, telemetry: testing.Captured) -> None:
        self.telemetry = telemetry

    def __call__(self) -> list[Any]:
        """Used, idle, holders in the ledger."""
        gc.collect()
        found = {p.attributes[STATE]: p.value for p in self.telemetry.points("db.client.connection.count")}
        return [found.get("used"), found.get("idle"), len(otel_session.held_connections())]

    def value(self, metric: str) -> Any:
        """A level or a count."""
        return [p.value for p in self.telemetry.points(f"db.client.connection.{metric}")]

    def times(self) -> list[int]:
        """How often creating, waiting and using were measured."""
        return [
            sum(p.count for p in self.telemetry.points(f"db.client.connection.{kind}_time"))
            for kind in ("create", "wait", "use")
        ]


def _queue(url: str, look: Look) -> dict[str, Any]:
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=1, max_overflow=1, pool_timeout=0.05, connect_args=ANYWHERE, future=True
    )
    told: dict[str, Any] = {"new": look()}
    with engine.connect() as connection:
        connection.execute(text("select 1"))
        told["out"] = look()
    told["back"] = look()
    with engine.connect() as connection:
        connection.detach()
        told["detached"] = look()
    with engine.connect() as connection:
        connection.invalidate()
        told["invalidated"] = look()
    raw = engine.raw_connection()
    raw.invalidate(soft=True)
    told["softly"] = look()
    raw.close()
    told["softly, back"] = look()
    raw = engine.raw_connection()
    del raw
    told["forgotten"] = look()
    with engine.connect(), engine.connect():
        told["full"] = look()
        try:
            engine.connect()
        except PoolTimeoutError:
            told["timeouts"] = look.value("timeouts")
    with engine.connect() as connection:
        engine.dispose()
        told["disposed"] = look()
        connection.invalidate()
    told["limits"] = [look.value("max"), look.value("idle.max"), look.value("idle.min"), look.value("pending_requests")]
    told["times"] = look.times()
    engine.dispose()
    return told


def _others(url: str, look: Look) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for kind in (NullPool, StaticPool, AssertionPool, SingletonThreadPool):
        engine = create_engine(url, poolclass=kind, connect_args=ANYWHERE, future=True)
        with engine.connect():
            out = look()
        told[kind.__name__] = [out, look()]
        engine.dispose()
        del engine
        gc.collect()
    engine = create_engine(url, poolclass=StaticPool, connect_args=ANYWHERE, future=True)
    one, two = engine.connect(), engine.connect()
    shared = [look()]
    one.close()
    shared.append(look())
    two.close()
    told["shared"] = [*shared, look()]
    engine.dispose()
    return told


def _threads(url: str, look: Look) -> list[int]:
    engine = create_engine(url, poolclass=QueuePool, pool_size=3, max_overflow=0, connect_args=ANYWHERE, future=True)

    def work() -> None:
        for _ in range(200):
            with engine.connect() as connection:
                connection.execute(text("select 1"))

    before = look.times()
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = look.times()
    engine.dispose()
    return [b - a for a, b in zip(before, after, strict=True)][1:] + look()


async def _asynchronous(url: str, look: Look) -> list[Any]:
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import AsyncAdaptedQueuePool

    engine = create_async_engine(
        url.replace("sqlite:", "sqlite+aiosqlite:"), poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0
    )
    told = []
    with otel_session.bound_session("async"):
        async with engine.connect() as connection:
            await connection.execute(text("select 1"))
            told.append(look())
            waiting = asyncio.ensure_future(engine.connect().start())
            await asyncio.sleep(0.05)
            told.append([look.value("pending_requests"), otel_session.held_connections()[0].session_id])
        await (await waiting).close()
    told.append(look())
    await engine.dispose()
    return told


def main() -> dict[str, Any]:
    """Everything, one pool after the other."""
    with tempfile.TemporaryDirectory() as folder, testing.captured() as telemetry:
        url = f"sqlite:///{folder}/pool.db"
        late = create_engine(url, poolclass=QueuePool, connect_args=ANYWHERE, future=True)
        out = late.connect()
        otel_session.instrument(**telemetry.providers)
        look = Look(telemetry)
        told: dict[str, Any] = {"version": sqlalchemy.__version__, "late": [look()]}
        out.close()
        told["late"].append(look())
        late.dispose()
        del late, out
        gc.collect()
        told["queue"] = _queue(url, look)
        gc.collect()
        told["others"] = _others(url, look)
        gc.collect()
        told["threads"] = _threads(url, look)
        if "async" in sys.argv:
            gc.collect()
            told["async"] = asyncio.run(_asynchronous(url, look))
        otel_session.uninstrument()
        return told


if __name__ == "__main__":
    print(json.dumps(main()))
