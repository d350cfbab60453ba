"""A Nexus' own zone in the target blueprint, and the DNS that follows from the target."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from nexus.db.deployed_dns import deploy_dns, lock_dns
from nexus.db.nexus_states import insert_nexus_states, take_turn_in
from nexus.db.target_edits import edit_target
from nexus.deployment.blueprint import FromEdit
from nexus.deployment.execution import own_generation
from nexus.deployment.nexus_states import AwaitHandoff, AwaitRecord
from nexus.deployment.own_zone import place_nexus
from nexus.ids import BlueprintId

if TYPE_CHECKING:
    from datetime import datetime

    from dropshot.address import SocketAddr
    from nexus.db.connection import Connection
    from nexus.deployment.blueprint import Blueprint
    from nexus.deployment.edits import Edit
    from nexus.ids import NexusId


class NotItsTurn(Exception):
    """It was this Nexus' turn, but is not any more: the target has changed meanwhile."""

    def __init__(self, turn: AwaitRecord | AwaitHandoff) -> None:
        super().__init__(turn.reason)
        self.turn = turn


async def put_in_service(
    connection: Connection, nexus_id: NexusId, *, internal_address: SocketAddr, external_ip: str, now: datetime
) -> list[str]:
    """Have this Nexus in the target blueprint as it is and, if the target is enabled, DNS as the target has it.

    A Nexus that rack setup knew keeps the external address that it was given there. One that it did not know gets a
    zone on the last sled that is left (`place_nexus`). Either change is a child of the target, which takes its place.
    Returns a line for each change, for the log. Run again after a commit whose answer was lost, it finds nothing to do.

    Raises NexusExpunged, NexusQuiesced, NotItsTurn.
    """

    async def find_edits(target: Blueprint) -> list[Edit]:
        turn = await take_turn_in(connection, target, nexus_id)
        if isinstance(turn, AwaitRecord | AwaitHandoff):
            raise NotItsTurn(turn)
        edit = place_nexus(target, nexus_id, internal_address=internal_address, external_ip=external_ip)
        return [] if edit is None else [edit]

    changes: list[str] = []
    edited = await edit_target(
        connection,
        find_edits,
        blueprint_id=BlueprintId(uuid4()),
        source=FromEdit(),
        creator=str(nexus_id),
        now=now,
    )
    generation = own_generation(edited.blueprint, nexus_id)
    if edited.is_new:
        await insert_nexus_states(connection, edited.blueprint, generation=generation)
        changes.append(f"blueprint {edited.blueprint.id} ({edited.blueprint.comment})")
    if edited.enabled:
        locks = await lock_dns(connection)
        changes += await deploy_dns(
            connection, locks, edited.blueprint, generation=generation, creator=str(nexus_id), now=now
        )
    return changes
