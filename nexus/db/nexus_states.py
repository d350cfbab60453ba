"""`db_metadata_nexus`: which Nexuses may use the database, as the generations take turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nexus.db.connection import Connection
    from nexus.deployment.blueprint import Blueprint


async def insert_nexus_states(connection: Connection, blueprint: Blueprint) -> None:
    """The rows that are missing: `active` for zones in service that are of the active generation, `not_yet` for those
    of a later one, none for those of an earlier one. Rows that are there stay as they are.
    """
    rows = [
        (zone.id, "active" if zone.zone_type.nexus_generation == blueprint.nexus_generation else "not_yet")
        for _, zone in blueprint.zones()
        if zone.in_service and zone.zone_type.nexus_generation >= blueprint.nexus_generation
    ]
    await connection.cursor().executemany(
        "INSERT INTO db_metadata_nexus (nexus_id, state) VALUES (%s, %s) ON CONFLICT (nexus_id) DO NOTHING", rows
    )
