"""Stored blueprints. What is stored under an id never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from psycopg.types.json import Jsonb

from nexus.deployment.blueprint import Blueprint, BlueprintMetadata
from nexus.errors import ObjectAlreadyExists, ObjectNotFound

if TYPE_CHECKING:
    from nexus.db.connection import Connection
    from nexus.ids import BlueprintId


async def insert_blueprint(connection: Connection, blueprint: Blueprint) -> None:
    """Raises ObjectAlreadyExists if another one has this id. Inserting the same again does nothing."""
    cursor = await connection.execute(
        """
        INSERT INTO blueprint (id, parent_blueprint_id, time_created, creator, comment, nexus_generation, contents)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (id) DO NOTHING
        """,
        (
            *(blueprint.id, blueprint.parent_blueprint_id, blueprint.time_created),
            *(blueprint.creator, blueprint.comment, blueprint.nexus_generation),
            Jsonb(msgspec.to_builtins(blueprint)),
        ),
    )
    if cursor.rowcount == 0 and await find_blueprint(connection, blueprint.id) != blueprint:
        raise ObjectAlreadyExists.of("blueprint", str(blueprint.id))


async def find_blueprint(connection: Connection, blueprint_id: BlueprintId) -> Blueprint | None:
    cursor = await connection.execute("SELECT contents::text FROM blueprint WHERE id = %s", (blueprint_id,))
    row = await cursor.fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=Blueprint)


async def read_blueprint(connection: Connection, blueprint_id: BlueprintId) -> Blueprint:
    """Raises ObjectNotFound."""
    blueprint = await find_blueprint(connection, blueprint_id)
    if blueprint is None:
        raise ObjectNotFound.by_id("blueprint", blueprint_id)
    return blueprint


async def list_blueprints(connection: Connection, *, after: BlueprintId | None, limit: int) -> list[BlueprintMetadata]:
    """In the order of ids, from the one after `after`."""
    cursor = await connection.execute(
        """
        SELECT (contents - 'sleds')::text FROM blueprint
        WHERE %s::uuid IS NULL OR id > %s
        ORDER BY id
        LIMIT %s
        """,
        (after, after, limit),
    )
    return [msgspec.json.decode(text, type=BlueprintMetadata) for (text,) in await cursor.fetchall()]


async def delete_blueprint(connection: Connection, blueprint_id: BlueprintId) -> bool:
    """Whether there was one."""
    cursor = await connection.execute("DELETE FROM blueprint WHERE id = %s", (blueprint_id,))
    return cursor.rowcount > 0


async def count_blueprints(connection: Connection, *, at_most: int) -> int:
    """Stops counting there."""
    cursor = await connection.execute("SELECT count(*) FROM (SELECT 1 FROM blueprint LIMIT %s) AS counted", (at_most,))
    row = await cursor.fetchone()
    assert row is not None, "an aggregate has one row"
    count: int = row[0]
    return count
