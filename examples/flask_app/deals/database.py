"""The engine, and one ORM session per request."""

import time
from typing import Any, cast

from flask import Flask, current_app
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session, scoped_session, sessionmaker


def init_app(app: Flask) -> None:
    engine = create_engine(app.config["DATABASE_URL"])
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _add_pg_sleep)
    orm_sessions = scoped_session(sessionmaker(engine))
    app.extensions["deals_engine"] = engine
    app.extensions["deals_orm_sessions"] = orm_sessions

    @app.teardown_appcontext
    def remove_orm_session(error: BaseException | None) -> None:
        orm_sessions.remove()


def get_db() -> Session:
    """The ORM session of this request; needs an application context, which also closes it."""
    return cast("scoped_session[Session]", current_app.extensions["deals_orm_sessions"])()


def _add_pg_sleep(connection: Any, record: object) -> None:
    # The slow report sleeps inside the database; SQLite has no such function of its own.
    connection.create_function("pg_sleep", 1, time.sleep)
