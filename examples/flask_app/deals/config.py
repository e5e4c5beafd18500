"""Settings: defaults, then ``DEALS_*`` variables, then what the caller passes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask


def init_app(app: Flask, overrides: Mapping[str, Any]) -> None:
    app.config.from_mapping(
        SECRET_KEY="dev",
        SESSION_COOKIE_SAMESITE="Lax",
        LOG_LEVEL="INFO",
        REDIS_URL="redis://localhost:6379/0",
        SLOW_REPORT_S=0.4,
    )
    app.config.from_prefixed_env("DEALS")
    app.config.from_mapping(overrides)
    _check_slow_report(app.config["SLOW_REPORT_S"])
    if not app.config.get("DATABASE_URL"):
        app.config["DATABASE_URL"] = f"sqlite:///{_instance_folder(app) / 'deals.sqlite'}"
    if app.config.get("SESSION_TYPE"):
        _use_server_side_sessions(app)


def _check_slow_report(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 60:
        raise ValueError(f"DEALS_SLOW_REPORT_S is {value!r}; expected seconds from 0 to 60.")


def _use_server_side_sessions(app: Flask) -> None:
    # Imported here: Flask-Session is needed only when DEALS_SESSION_TYPE asks for it.
    from flask_session import Session as ServerSideSessions  # type: ignore[import-untyped]  # it ships no types

    if app.config["SESSION_TYPE"] == "redis":
        from redis import Redis

        app.config.setdefault("SESSION_REDIS", Redis.from_url(app.config["REDIS_URL"]))
    elif app.config["SESSION_TYPE"] in ("filesystem", "cachelib"):
        from cachelib.file import FileSystemCache

        # Flask-Session deprecates its own "filesystem" type in favour of cachelib's.
        app.config["SESSION_TYPE"] = "cachelib"
        folder = app.config.get("SESSION_FILE_DIR") or _instance_folder(app) / "sessions"
        app.config.setdefault("SESSION_CACHELIB", FileSystemCache(str(folder)))
    ServerSideSessions(app)


def _instance_folder(app: Flask) -> Path:
    folder = Path(app.instance_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
