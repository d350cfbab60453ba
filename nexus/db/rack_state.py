"""What edits of blueprints go by that is not in the blueprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.db.sleds import list_expunged_sleds
from nexus.deployment.edits import RackState
from nexus.ids import NexusId

if TYPE_CHECKING:
    from nexus.db.connection import Connection

LIST_USERS_OF_THE_DATABASE = """
SELECT nexus_id FROM db_metadata_nexus JOIN sec_process ON sec_id = nexus_id WHERE state = 'active'
"""


async def read_rack_state(connection: Connection) -> RackState:
    cursor = await connection.execute(LIST_USERS_OF_THE_DATABASE)
    return RackState(
        expunged_sleds=await list_expunged_sleds(connection),
        use_database=[NexusId(nexus_id) for (nexus_id,) in await cursor.fetchall()],
    )
