"""What a Nexus that starts is to change in the target blueprint so that it has a zone there, where it listens. Pure."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from nexus.deployment.edits import AddNexusZone, EditRefused, MoveNexusZone
from nexus.rack import NexusZone

if TYPE_CHECKING:
    from dropshot.address import SocketAddr
    from nexus.deployment.blueprint import Blueprint
    from nexus.ids import NexusId


DISCARD_PREFIX = ipaddress.IPv6Network("100::/64")
"""Of RFC 6666: nobody is there."""


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
        return AddNexusZone(new_zone(target, nexus_id, internal_address=internal_address, external_ip=external_ip))
    _, zone = found
    refuse_expunged(target, nexus_id)
    if zone.address != internal_address:
        return MoveNexusZone(nexus_id, str(internal_address))
    return None


def new_zone(blueprint: Blueprint, nexus_id: NexusId, *, internal_address: SocketAddr, external_ip: str) -> NexusZone:
    """Where a Nexus is put that the blueprint does not have. Raises EditRefused if there is no sled for it.

    That is where rack setup puts all but the first: on the last sled, and, since all of them may listen on one
    `external_ip`, under an address that tells it apart in DNS if another zone has that one.
    """
    left = [sled_id for sled_id, sled in blueprint.sleds.items() if sled.state == "active"]
    if not left:
        raise EditRefused("every sled is decommissioned")
    # As rack setup lists them: the last sled has the highest subnet.
    sled_id = max(left, key=lambda sled_id: blueprint.sleds[sled_id].subnet.net)
    return NexusZone(nexus_id, sled_id, str(internal_address), _own_address(blueprint, external_ip))


def refuse_expunged(blueprint: Blueprint, nexus_id: NexusId) -> None:
    """Raises NexusExpunged. One that the blueprint does not have is none that was expunged."""
    found = blueprint.find_zone(nexus_id)
    if found is not None and not found[1].in_service:
        raise NexusExpunged(nexus_id, blueprint)


def _own_address(target: Blueprint, external_ip: str) -> str:
    """`external_ip`, or, if a zone has it, the discard address after all that are or were there."""
    taken = {ipaddress.ip_address(zone.zone_type.external_ip.ip) for _, zone in target.zones()}
    if ipaddress.ip_address(external_ip) not in taken:
        return external_ip
    discarded = [address for address in taken if isinstance(address, IPv6Address) and address in DISCARD_PREFIX]
    return str(max([DISCARD_PREFIX.network_address, *discarded]) + 1)
