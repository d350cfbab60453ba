"""`db_metadata_nexus`: which Nexuses may use the database, as the generations take turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.deployment.nexus_states import goal_state

if TYPE_CHECKING:
    from nexus.db.connection import Connection
    from nexus.deployment.blueprint import Blueprint


async def insert_nexus_states(connection: Connection, blueprint: Blueprint) -> None:
    """The rows that are missing: `active` for zones in service that are of the active generation, `not_yet` for those
    of a later one, none for those of an earlier one. Rows that are there stay as they are.
    """
    goals = [(zone.id, goal_state(blueprint, zone.id)) for _, zone in blueprint.zones()]
    rows = [(nexus_id, goal) for nexus_id, goal in goals if goal in ("active", "not_yet")]
    await connection.cursor().executemany(
        "INSERT INTO db_metadata_nexus (nexus_id, state) VALUES (%s, %s) ON CONFLICT (nexus_id) DO NOTHING", rows
    )
