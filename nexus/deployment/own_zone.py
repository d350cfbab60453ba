"""What a Nexus that starts is to change in the target blueprint so that it has a zone there, where it listens. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.deployment.edits import AddNexusZone, EditRefused, MoveNexusZone
from nexus.rack import NexusZone

if TYPE_CHECKING:
    from dropshot.address import SocketAddr
    from nexus.deployment.blueprint import Blueprint
    from nexus.ids import NexusId


class NexusExpunged(Exception):
    """This Nexus was expunged, and never comes back."""

    def __init__(self, nexus_id: NexusId, blueprint: Blueprint) -> None:
        super().__init__(f"zone {nexus_id} is expunged in blueprint {blueprint.id}; a new Nexus needs another id")


def place_nexus(
    target: Blueprint, nexus_id: NexusId, *, internal_address: SocketAddr, external_ip: str
) -> AddNexusZone | MoveNexusZone | None:
    """None if nothing is to be changed. Raises NexusExpunged, and EditRefused if there is no sled for a new one."""
    found = target.find_zone(nexus_id)
    if found is None:
        # As rack setup lists them: the first sled has the lowest subnet.
        left = [sled_id for sled_id, sled in target.sleds.items() if sled.state == "active"]
        if not left:
            raise EditRefused("every sled is decommissioned")
        sled_id = min(left, key=lambda sled_id: target.sleds[sled_id].subnet.net)
        return AddNexusZone(NexusZone(nexus_id, sled_id, str(internal_address), external_ip))
    _, zone = found
    if not zone.in_service:
        raise NexusExpunged(nexus_id, target)
    if zone.address != internal_address:
        return MoveNexusZone(nexus_id, str(internal_address))
    return None
