"""An engine -> what is the same for all of its statements: database system, namespace, server address."""

from __future__ import annotations

import os.path
from typing import Any

from otel_session import attributes as names

# SQLAlchemy's dialect names -> the well-known values of `db.system.name` (semconv, database registry).
_SYSTEMS = {
    "oracle": "oracle.db",
    "mssql": "microsoft.sql_server",
    "redshift": "aws.redshift",
    "ibm_db_sa": "ibm.db2",
    "db2": "ibm.db2",
    "hana": "sap.hana",
    "firebird": "firebirdsql",
    "bigquery": "gcp.bigquery",
    "spanner+spanner": "gcp.spanner",
    "clickhousedb": "clickhouse",
}
_DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "oracle.db": 1521, "microsoft.sql_server": 1433}

Attributes = dict[str, str | int]


def target_of(engine: Any, proxied: Any = None) -> Attributes:
    """The attributes of an engine's server, from its dialect and URL; never the user or password.

    Args:
        engine: A sync engine.
        proxied: A connection of it, asked for what the URL does not say (`creator=`, drivers' own defaults).
    """
    system = _system(engine.dialect)
    found = _of_url(system, engine.url)
    if proxied is None or system == "sqlite" or {names.SERVER_ADDRESS, names.DB_NAMESPACE} <= found.keys():
        return found
    host, port, database = _of_connection(getattr(proxied, "driver_connection", None) or proxied)
    if names.SERVER_ADDRESS not in found:
        _add_server(found, host, port)
    if isinstance(database, bytes):
        database = database.decode(errors="replace")
    if isinstance(database, str) and database:
        found.setdefault(names.DB_NAMESPACE, database)
    return found


def _of_url(system: str, url: Any) -> Attributes:
    found: Attributes = {names.DB_SYSTEM_NAME: system}
    database = url.database if isinstance(url.database, str) else None  # tests put mocks there
    if system == "sqlite":
        found[names.DB_NAMESPACE] = _sqlite_name(database)
        return found
    if database:
        found[names.DB_NAMESPACE] = database
    query = dict(url.query)
    host = url.host or query.get("host") or query.get("unix_socket")
    _add_server(found, host, url.port or query.get("port") or _DEFAULT_PORTS.get(system))
    return found


def _add_server(found: Attributes, host: Any, port: Any) -> None:
    if not isinstance(host, str) or not host:
        return
    found[names.SERVER_ADDRESS] = host
    if not host.startswith(("/", "@")) and str(port).isdecimal():
        found[names.SERVER_PORT] = int(port)


def _of_connection(driver: Any) -> tuple[Any, Any, Any]:
    """Host, port and database as a psycopg, asyncpg or MySQL connection knows them; None for what it does not."""
    info = getattr(driver, "info", None)
    if hasattr(info, "dbname"):
        return tuple(getattr(info, part, None) for part in ("host", "port", "dbname"))  # type: ignore[return-value]
    address = getattr(driver, "_addr", None)
    if address is not None:
        host, port = address if isinstance(address, tuple) else (address, None)
        return host, port, getattr(getattr(driver, "_params", None), "database", None)
    return getattr(driver, "host", None), getattr(driver, "port", None), getattr(driver, "db", None)


def _system(dialect: Any) -> str:
    name = str(dialect.name)
    if name == "mysql" and getattr(dialect, "is_mariadb", False):
        return "mariadb"
    return _SYSTEMS.get(name, name)


def _sqlite_name(database: str | None) -> str:
    # Only the file's name: its folder says where the machine keeps things.
    if not database or database == ":memory:":
        return ":memory:"
    return os.path.basename(database.removeprefix("file:").split("?")[0]) or ":memory:"
