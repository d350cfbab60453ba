"""What a Nexus that starts is to change in the target blueprint so that it has a zone there, where it listens. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.deployment.edits import AddNexusZone, MoveNexusZone

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
    """None if nothing is to be changed. Raises NexusExpunged."""
    found = target.find_zone(nexus_id)
    if found is None:
        return AddNexusZone(nexus_id, str(internal_address), external_ip)
    _, zone = found
    refuse_expunged(target, nexus_id)
    if zone.address != internal_address:
        return MoveNexusZone(nexus_id, str(internal_address))
    return None


def refuse_expunged(blueprint: Blueprint, nexus_id: NexusId) -> None:
    """Raises NexusExpunged. One that the blueprint does not have is none that was expunged."""
    found = blueprint.find_zone(nexus_id)
    if found is not None and not found[1].in_service:
        raise NexusExpunged(nexus_id, blueprint)
