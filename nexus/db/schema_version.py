"""Which version of the schema a database has, and which one this code is written for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from nexus.db.connection import Connection

SCHEMA_VERSION = 1
"""The number of the last file in `schema/`."""


async def read_schema_version(connection: Connection) -> int | None:
    """None if there is no schema at all."""
    try:
        cursor = await connection.execute("SELECT schema_version FROM db_metadata")
    except psycopg.errors.UndefinedTable:
        return None
    row = await cursor.fetchone()
    return None if row is None else int(row[0])
