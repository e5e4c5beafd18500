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


def target_of(engine: Any) -> Attributes:
    """The attributes of an engine's server, from its dialect and URL; never the user or password."""
    dialect, url = engine.dialect, engine.url
    system = _system(dialect)
    found: Attributes = {names.DB_SYSTEM_NAME: system}
    if system == "sqlite":
        found[names.DB_NAMESPACE] = _sqlite_name(url.database)
        return found
    if url.database:
        found[names.DB_NAMESPACE] = url.database
    host = url.host or _from_query(url, "host")
    if host:
        found[names.SERVER_ADDRESS] = host
        port = url.port or _from_query(url, "port") or _DEFAULT_PORTS.get(system)
        if port and not host.startswith("/"):
            found[names.SERVER_PORT] = int(port)
    return found


def with_connection(found: Attributes, dbapi_connection: Any) -> Attributes:
    """The same, completed from a psycopg connection, for engines whose URL says nothing (`creator=`)."""
    info = getattr(dbapi_connection, "info", None)
    host, port, name = (getattr(info, part, None) for part in ("host", "port", "dbname"))
    added: Attributes = {}
    if isinstance(host, str) and host:
        added[names.SERVER_ADDRESS] = host
        if isinstance(port, int) and not host.startswith("/"):
            added[names.SERVER_PORT] = port
    if isinstance(name, str) and name:
        added[names.DB_NAMESPACE] = name
    return {**added, **found}


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


def _from_query(url: Any, key: str) -> str | None:
    value = dict(url.query).get(key)
    return value if isinstance(value, str) else None
