"""Resource and scope bytes, kept once in the file however many rows name them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable


def keys_of(connection: sqlite3.Connection, values: Iterable[bytes]) -> dict[bytes, int]:
    """The key of each value; those the file does not have yet are added, with no uses."""
    keys: dict[bytes, int] = {}
    for value in values:
        row = connection.execute("SELECT key FROM shared WHERE value = ?", (value,)).fetchone()
        if row is None:
            row = (connection.execute("INSERT INTO shared (value, uses) VALUES (?, 0)", (value,)).lastrowid,)
        keys[value] = row[0]
    return keys


def add_uses(connection: sqlite3.Connection, uses: Counter[int]) -> None:
    """Count how many more rows name each key."""
    connection.executemany("UPDATE shared SET uses = uses + ? WHERE key = ?", [(n, key) for key, n in uses.items()])


def drop_uses(connection: sqlite3.Connection, uses: Counter[int]) -> None:
    """Count how many rows fewer name each key, and forget the values that no row names any more."""
    connection.executemany("UPDATE shared SET uses = uses - ? WHERE key = ?", [(n, key) for key, n in uses.items()])
    connection.executemany("DELETE FROM shared WHERE key = ? AND uses <= 0", [(key,) for key in uses])


def read_values(connection: sqlite3.Connection, keys: Iterable[int]) -> dict[int, bytes]:
    """The bytes behind each key, one object each however often it is named."""
    values: dict[int, bytes] = {}
    for key in set(keys):
        row = connection.execute("SELECT value FROM shared WHERE key = ?", (key,)).fetchone()
        if row is not None:
            values[key] = row[0]
    return values
