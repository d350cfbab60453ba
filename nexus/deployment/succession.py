"""What must hold between the target and the blueprint that takes its place. Pure.

Nothing that is gone comes back or changes, nothing vanishes without being expunged, generations only rise, a Nexus is
left, and no two of them are put at one address. Every edit keeps to all but the last, which depends on who listens
where; this is for blueprints that come from elsewhere, by import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus.deployment.blueprint import Expunged
from nexus.deployment.edits import NOTHING_KNOWN, RackState, why_nobody_is_left

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dropshot.address import SocketAddr
    from nexus.deployment.blueprint import Blueprint, BlueprintZone
    from nexus.ids import NexusId


def objections(target: Blueprint, successor: Blueprint, *, rack: RackState = NOTHING_KNOWN) -> Iterator[str]:
    """A sentence for each thing that is wrong; none if `successor` may take the place of `target`."""
    if successor.nexus_generation < target.nexus_generation:
        yield f"the Nexus generation falls from {target.nexus_generation} to {successor.nexus_generation}"
    for sled_id, sled in sorted(target.sleds.items()):
        later = successor.sleds.get(sled_id)
        if later is None:
            yield f"sled {sled_id} is missing"
            continue
        if later.sled_agent_generation < sled.sled_agent_generation:
            yield f"the configuration of sled {sled_id} falls below generation {sled.sled_agent_generation}"
        if sled.state == "decommissioned" and later.state != "decommissioned":
            yield f"sled {sled_id}, which is decommissioned, comes back"
    for sled_id, zone in target.zones():
        found = successor.find_zone(zone.id)
        if found is None:
            yield f"zone {zone.id} is missing"
        elif found[0] != sled_id:
            yield f"zone {zone.id} is on another sled"
        elif _comes_back(zone, found[1]):
            yield f"zone {zone.id}, which is expunged, comes back"
        elif wrong := _wrong_change(zone, found[1]):
            yield wrong
    shared_already = _shared_addresses(target)
    for address, zone_ids in _shared_addresses(successor).items():
        if not zone_ids <= shared_already.get(address, set()):
            ids = " and ".join(map(str, sorted(zone_ids)))
            yield f"zones {ids}, which are in service, have one internal address, {address}"
    if reason := why_nobody_is_left(target, successor, rack):
        yield reason


def _comes_back(zone: BlueprintZone, later: BlueprintZone) -> bool:
    """Whether it was expunged and is not any more, or not as it was. It may have become ready for cleanup."""
    match zone.disposition, later.disposition:
        case Expunged() as before, Expunged() as after:
            return after.as_of_generation != before.as_of_generation or (
                before.ready_for_cleanup and not after.ready_for_cleanup
            )
        case Expunged(), _:
            return True
        case _:
            return False


def _wrong_change(zone: BlueprintZone, later: BlueprintZone) -> str | None:
    generation, later_generation = zone.zone_type.nexus_generation, later.zone_type.nexus_generation
    if later_generation != generation:
        return f"the Nexus generation of zone {zone.id} changes from {generation} to {later_generation}"
    if not zone.in_service and msgspec.structs.replace(later, disposition=zone.disposition) != zone:
        return f"zone {zone.id}, which is expunged, changes"
    return None


def _shared_addresses(blueprint: Blueprint) -> dict[SocketAddr, set[NexusId]]:
    """Internal addresses that more than one zone in service has, in the order of the first of them."""
    zones: dict[SocketAddr, set[NexusId]] = {}
    for _, zone in blueprint.zones():
        if zone.in_service:
            zones.setdefault(zone.address, set()).add(zone.id)
    return {address: ids for address, ids in zones.items() if len(ids) > 1}
