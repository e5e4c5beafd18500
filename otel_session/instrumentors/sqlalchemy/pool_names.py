"""What a pool is called in metrics: the same name as long as it lives, no other pool's, and nothing secret.

Semantic conventions: the name the application gave it, else server address, port and namespace.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from otel_session import attributes as names
from otel_session.instrumentors.sqlalchemy.targets import target_of

_MAX_CHARS = 128


def base_name(pool: Any, engine: Any = None) -> str:
    """`pool_logging_name=`, else `server:port/database` of the engine's URL, else the kind of database.

    The user and the password of a URL are in neither.
    """
    given = getattr(pool, "_orig_logging_name", None)
    if given:
        return str(given)[:_MAX_CHARS]
    if engine is None:
        return str(getattr(getattr(pool, "_dialect", None), "name", None) or type(pool).__name__)[:_MAX_CHARS]
    target = target_of(engine)
    server = target.get(names.SERVER_ADDRESS, target[names.DB_SYSTEM_NAME])
    port = f":{target[names.SERVER_PORT]}" if names.SERVER_PORT in target else ""
    namespace = f"/{target[names.DB_NAMESPACE]}" if target.get(names.DB_NAMESPACE) else ""
    return f"{server}{port}{namespace}"[:_MAX_CHARS]


def unique_name(base: str, taken: Container[str]) -> str:
    """The name itself, else with the first number that is free: `db:5432/shop`, `db:5432/shop#2`."""
    if base not in taken:
        return base
    number = 2
    while f"{base}#{number}" in taken:
        number += 1
    return f"{base}#{number}"
