"""The target blueprint with its contents, as every Nexus reads it again and again: by one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.deployment.blueprint import BlueprintTarget
from nexus.errors import InternalError
from nexus.ids import BlueprintId

if TYPE_CHECKING:
    from nexus.db.connection import Connection

READ = """
SELECT blueprint_id, enabled, time_made_target, contents::TEXT
FROM (SELECT blueprint_id, enabled, time_made_target FROM bp_target ORDER BY version DESC LIMIT 1) AS target
    JOIN blueprint ON blueprint.id = blueprint_id
"""


async def read_target_contents(connection: Connection) -> tuple[BlueprintTarget, str]:
    """The contents are JSON, the same text each time. Raises InternalError for a rack that has no target."""
    cursor = await connection.execute(READ)
    row = await cursor.fetchone()
    if row is None:
        raise InternalError("no target blueprint set")
    target_id, enabled, time_made_target, contents = row
    target = BlueprintTarget(target_id=BlueprintId(target_id), enabled=enabled, time_made_target=time_made_target)
    return target, contents
