"""`db_metadata_nexus`: which Nexuses may use the database, as the generations take turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.deployment.nexus_states import goal_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus.db.connection import Connection
    from nexus.deployment.blueprint import Blueprint
    from nexus.ids import NexusId


async def insert_nexus_states(connection: Connection, blueprint: Blueprint) -> int:
    """The rows that are missing: `active` for zones in service that are of the active generation, `not_yet` for those
    of a later one, none for those of an earlier one. Rows that are there stay as they are. Returns how many it wrote.
    """
    goals = [(zone.id, goal_state(blueprint, zone.id)) for _, zone in blueprint.zones()]
    rows = [(nexus_id, goal) for nexus_id, goal in goals if goal in ("active", "not_yet")]
    if not rows:
        return 0
    cursor = connection.cursor()
    await cursor.executemany(
        "INSERT INTO db_metadata_nexus (nexus_id, state) VALUES (%s, %s) ON CONFLICT (nexus_id) DO NOTHING", rows
    )
    return cursor.rowcount


async def delete_nexus_states(connection: Connection, nexus_ids: Sequence[NexusId]) -> int:
    """Returns how many there were."""
    cursor = await connection.execute("DELETE FROM db_metadata_nexus WHERE nexus_id = ANY(%s)", (list(nexus_ids),))
    return cursor.rowcount
