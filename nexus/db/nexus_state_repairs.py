"""Changing by hand what is recorded of a Nexus, for omdb: plain psycopg, one transaction, which the caller commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg import Connection

    from nexus.deployment.nexus_states import NexusState
    from nexus.ids import NexusId


class NotActive(Exception):
    """Nothing was changed. One line for the user."""

    def __init__(self, nexus_id: NexusId, state: NexusState | None) -> None:
        found = "it has no record in db_metadata_nexus" if state is None else f"it is recorded as {state}"
        super().__init__(f"Nexus {nexus_id} is not active: {found}")


def mark_quiesced(connection: Connection, nexus_id: NexusId) -> None:
    """As if an active Nexus had said that it is quiesced. Raises NotActive."""
    row = connection.execute(
        "SELECT state FROM db_metadata_nexus WHERE nexus_id = %s FOR UPDATE", (nexus_id,)
    ).fetchone()
    if row is None or row[0] != "active":
        raise NotActive(nexus_id, None if row is None else row[0])
    connection.execute("UPDATE db_metadata_nexus SET state = 'quiesced' WHERE nexus_id = %s", (nexus_id,))
