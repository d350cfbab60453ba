"""How a blueprint becomes another: every change of what the control plane consists of is one of these edits. Pure.

An edit makes a *child*, a new blueprint whose parent is the one edited, which itself stays as it is. What holds of
every child: a zone that is expunged stays expunged, a zone that is there stays there, generations only rise (see
`nexus.deployment.succession`).

The edits are also the bodies of `POST /experimental/blueprints/{id}/edit`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, TypeAlias, assert_never

import msgspec

from nexus.deployment.blueprint import Blueprint, BlueprintSled, BlueprintZone, Expunged, InService
from nexus.deployment.zones import new_nexus_zone
from nexus.ids import NexusId, SledId
from nexus.rack import NexusZone

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import datetime

    from nexus.deployment.blueprint import BlueprintSource
    from nexus.ids import BlueprintId


NO_NEXUS_LEFT = "no Nexus of the active generation would be left in service; add one first"

DISCARD_PREFIX = ipaddress.IPv6Network("100::/64")
"""Of RFC 6666: nobody is there."""


class EditRefused(Exception):
    """The edit makes no sense in this blueprint. One sentence for the user."""


class ExpungeZone(msgspec.Struct, frozen=True, tag_field="edit", tag="expunge_zone"):
    """`ready_for_cleanup`: somebody made sure that the zone does not run any more."""

    zone_id: NexusId
    ready_for_cleanup: bool = False


class MarkReadyForCleanup(msgspec.Struct, frozen=True, tag_field="edit", tag="mark_ready_for_cleanup"):
    """For a zone that is expunged and does not run any more."""

    zone_id: NexusId


class ExpungeSled(msgspec.Struct, frozen=True, tag_field="edit", tag="expunge_sled"):
    """Expunge every zone of a sled that is gone, and decommission it. Nothing runs there: all is ready for cleanup."""

    sled_id: SledId


class AddNexusZone(msgspec.Struct, frozen=True, tag_field="edit", tag="add_nexus_zone"):
    """A new Nexus, of the active generation or of the next one.

    Without `sled_id` it is put where rack setup puts all but the first, on the last sled that is left. Since all of
    them may listen on one `external_ip`, it gets an address that tells it apart in DNS if another zone has that one.
    """

    zone_id: NexusId
    internal_address: str
    external_ip: str = "127.0.0.1"
    sled_id: SledId | None = None
    next_generation: bool = False


class MoveNexusZone(msgspec.Struct, frozen=True, tag_field="edit", tag="move_nexus_zone"):
    """For a Nexus that was found to listen at another address."""

    zone_id: NexusId
    internal_address: str


class BumpNexusGeneration(msgspec.Struct, frozen=True, tag_field="edit", tag="bump_nexus_generation"):
    """Make the next generation of Nexuses the active one. Some must be in service."""


Edit: TypeAlias = ExpungeZone | MarkReadyForCleanup | ExpungeSled | AddNexusZone | MoveNexusZone | BumpNexusGeneration


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildMetadata:
    """All that a child does not have from its parent. The DNS versions are those of now."""

    id: BlueprintId
    time_created: datetime
    creator: str
    comment: str
    source: BlueprintSource
    internal_dns_version: int
    external_dns_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RackState:
    """What is known beside the blueprint that is edited."""

    expunged_sleds: Collection[SledId] = ()
    """By their policy, be they in service in the blueprint or not."""

    use_database: Collection[NexusId] = ()
    """Nexuses that have run, and have not made way for others: they execute blueprints, and can change the target."""


NOTHING_KNOWN = RackState()


def child(
    parent: Blueprint, metadata: ChildMetadata, edits: Iterable[Edit] = (), *, rack: RackState = NOTHING_KNOWN
) -> Blueprint:
    """A child that is like its parent but for these edits, made in this order. Raises EditRefused."""
    blueprint = msgspec.structs.replace(
        parent,
        id=metadata.id,
        parent_blueprint_id=parent.id,
        time_created=metadata.time_created,
        creator=metadata.creator,
        comment=metadata.comment,
        source=metadata.source,
        internal_dns_version=metadata.internal_dns_version,
        external_dns_version=metadata.external_dns_version,
    )
    for edit in edits:
        blueprint = _edited(blueprint, edit, rack)
    if reason := why_nobody_is_left(parent, blueprint, rack):
        raise EditRefused(reason)
    return blueprint


def why_nobody_is_left(parent: Blueprint, blueprint: Blueprint, rack: RackState) -> str | None:
    """What is wrong if the control plane comes to an end with this child. None if somebody is left."""
    if parent.active_nexuses() and not blueprint.active_nexuses():
        return NO_NEXUS_LEFT
    left = [zone.id for _, zone in blueprint.zones() if zone.in_service]
    if _any_of(rack.use_database, parent) and not _any_of(rack.use_database, blueprint):
        return (
            "the Nexuses that would be left in service have never run, or wait for the handoff, or are quiesced:"
            f" {', '.join(map(str, left))}; so none could change the target again. Start or add one first, or have the"
            " handoff done"
        )
    return None


def _any_of(nexus_ids: Collection[NexusId], blueprint: Blueprint) -> bool:
    return any(zone.in_service and zone.id in nexus_ids for _, zone in blueprint.zones())


def _edited(blueprint: Blueprint, edit: Edit, rack: RackState) -> Blueprint:
    match edit:
        case ExpungeZone():
            return _with_zone(blueprint, edit.zone_id, _expunge(ready_for_cleanup=edit.ready_for_cleanup))
        case MarkReadyForCleanup():
            return _with_zone(blueprint, edit.zone_id, _mark_ready_for_cleanup)
        case ExpungeSled():
            return _expunge_sled(blueprint, edit.sled_id)
        case AddNexusZone():
            return _add_nexus_zone(blueprint, edit, rack)
        case MoveNexusZone():
            return _with_zone(blueprint, edit.zone_id, _move(edit.internal_address))
        case BumpNexusGeneration():
            return _bump_nexus_generation(blueprint, rack)
    assert_never(edit)


def edits_comment(edits: Iterable[Edit]) -> str:
    """What a child with these edits is for, where nobody says more."""
    return "; ".join(map(_edit_comment, edits)) or "no changes"


def _edit_comment(edit: Edit) -> str:
    match edit:
        case ExpungeZone():
            return f"expunged zone {edit.zone_id}"
        case MarkReadyForCleanup():
            return f"marked zone {edit.zone_id} ready for cleanup"
        case ExpungeSled():
            return f"expunged sled {edit.sled_id}"
        case AddNexusZone():
            return f"added Nexus zone {edit.zone_id}"
        case MoveNexusZone():
            return f"moved Nexus zone {edit.zone_id} to {edit.internal_address}"
        case BumpNexusGeneration():
            return "bumped the Nexus generation"
    assert_never(edit)


ZoneEdit: TypeAlias = "Callable[[BlueprintSled, BlueprintZone], tuple[BlueprintSled, BlueprintZone]]"
"""Takes the zone's sled, too, and gives back both."""


def _expunge(*, ready_for_cleanup: bool) -> ZoneEdit:
    def expunge(sled: BlueprintSled, zone: BlueprintZone) -> tuple[BlueprintSled, BlueprintZone]:
        if not zone.in_service:
            raise EditRefused(f"zone {zone.id} is expunged already")
        sled = _next_configuration(sled)
        gone = Expunged(as_of_generation=sled.sled_agent_generation, ready_for_cleanup=ready_for_cleanup)
        return sled, msgspec.structs.replace(zone, disposition=gone)

    return expunge


def _mark_ready_for_cleanup(sled: BlueprintSled, zone: BlueprintZone) -> tuple[BlueprintSled, BlueprintZone]:
    match zone.disposition:
        case InService():
            raise EditRefused(f"zone {zone.id} is in service: only an expunged zone can be ready for cleanup")
        case Expunged(ready_for_cleanup=True):
            raise EditRefused(f"zone {zone.id} is ready for cleanup already")
        case Expunged():
            ready = msgspec.structs.replace(zone.disposition, ready_for_cleanup=True)
            return sled, msgspec.structs.replace(zone, disposition=ready)


def _move(internal_address: str) -> ZoneEdit:
    def move(sled: BlueprintSled, zone: BlueprintZone) -> tuple[BlueprintSled, BlueprintZone]:
        if not zone.in_service:
            raise EditRefused(f"zone {zone.id} is expunged")
        try:
            moved = msgspec.structs.replace(zone.zone_type, internal_address=internal_address)
        except ValueError as error:
            raise EditRefused(str(error)) from None
        zone = msgspec.structs.replace(zone, zone_type=moved)
        zone_type = msgspec.structs.replace(moved, lockstep_port=zone.address.port)
        return _next_configuration(sled), msgspec.structs.replace(zone, zone_type=zone_type)

    return move


def _expunge_sled(blueprint: Blueprint, sled_id: SledId) -> Blueprint:
    sled = _sled(blueprint, sled_id)
    if sled.state == "decommissioned":
        raise EditRefused(f"sled {sled_id} is decommissioned already")
    sled = _next_configuration(sled)
    gone = Expunged(as_of_generation=sled.sled_agent_generation, ready_for_cleanup=True)
    zones = tuple(_gone_with_its_sled(zone, gone) for zone in sled.zones)
    return _with_sled(blueprint, sled_id, msgspec.structs.replace(sled, state="decommissioned", zones=zones))


def _gone_with_its_sled(zone: BlueprintZone, gone: Expunged) -> BlueprintZone:
    match zone.disposition:
        case InService():
            return msgspec.structs.replace(zone, disposition=gone)
        case Expunged():
            ready = msgspec.structs.replace(zone.disposition, ready_for_cleanup=True)
            return msgspec.structs.replace(zone, disposition=ready)


def _add_nexus_zone(blueprint: Blueprint, edit: AddNexusZone, rack: RackState) -> Blueprint:
    if blueprint.find_zone(edit.zone_id) is not None:
        raise EditRefused(f"there is a zone {edit.zone_id} already")
    sled_id = _last_sled(blueprint, rack) if edit.sled_id is None else edit.sled_id
    sled = _sled(blueprint, sled_id)
    if sled.state == "decommissioned":
        raise EditRefused(f"sled {sled_id} is decommissioned")
    try:
        where = NexusZone(edit.zone_id, sled_id, edit.internal_address, _own_external_ip(blueprint, edit.external_ip))
    except ValueError as error:
        raise EditRefused(str(error)) from None
    for _, zone in blueprint.zones():
        if zone.in_service and zone.address == where.address:
            raise EditRefused(f"zone {zone.id} is in service at {zone.address} already; expunge it first")
    generation = blueprint.nexus_generation + edit.next_generation
    zones = (*sled.zones, new_nexus_zone(where, nexus_generation=generation))
    in_order = tuple(sorted(zones, key=lambda zone: zone.id))
    return _with_sled(blueprint, sled_id, msgspec.structs.replace(_next_configuration(sled), zones=in_order))


def _last_sled(blueprint: Blueprint, rack: RackState) -> SledId:
    left = {
        sled_id: sled
        for sled_id, sled in blueprint.sleds.items()
        if sled.state == "active" and sled_id not in rack.expunged_sleds
    }
    if not left:
        raise EditRefused("every sled is expunged")
    # As rack setup lists them: the last sled has the highest subnet.
    return max(left, key=lambda sled_id: left[sled_id].subnet.net)


def _own_external_ip(blueprint: Blueprint, external_ip: str) -> str:
    """`external_ip`, or, if a zone has it, the discard address after all that are or were there."""
    taken = {ipaddress.ip_address(zone.zone_type.external_ip.ip) for _, zone in blueprint.zones()}
    if ipaddress.ip_address(external_ip) not in taken:
        return external_ip
    discarded = [address for address in taken if isinstance(address, IPv6Address) and address in DISCARD_PREFIX]
    return str(max([DISCARD_PREFIX.network_address, *discarded]) + 1)


def _bump_nexus_generation(blueprint: Blueprint, rack: RackState) -> Blueprint:
    older = [
        str(nexus_id)
        for nexus_id in blueprint.older_nexuses(blueprint.nexus_generation)
        if nexus_id in rack.use_database
    ]
    if older:
        raise EditRefused(
            f"the handoff to generation {blueprint.nexus_generation} is not done yet: {', '.join(older)} must make way"
        )
    bumped = msgspec.structs.replace(blueprint, nexus_generation=blueprint.nexus_generation + 1)
    if not bumped.active_nexuses():
        raise EditRefused(
            f"no Nexus zone of generation {bumped.nexus_generation} is in service: nobody could take over"
        )
    return bumped


def _with_zone(blueprint: Blueprint, zone_id: NexusId, edit: ZoneEdit) -> Blueprint:
    found = blueprint.find_zone(zone_id)
    if found is None:
        raise EditRefused(f"there is no zone {zone_id}")
    sled_id, zone = found
    sled, changed = edit(blueprint.sleds[sled_id], zone)
    zones = tuple(changed if each.id == zone_id else each for each in sled.zones)
    return _with_sled(blueprint, sled_id, msgspec.structs.replace(sled, zones=zones))


def _with_sled(blueprint: Blueprint, sled_id: SledId, sled: BlueprintSled) -> Blueprint:
    return msgspec.structs.replace(blueprint, sleds={**blueprint.sleds, sled_id: sled})


def _sled(blueprint: Blueprint, sled_id: SledId) -> BlueprintSled:
    if sled_id not in blueprint.sleds:
        raise EditRefused(f"there is no sled {sled_id}")
    return blueprint.sleds[sled_id]


def _next_configuration(sled: BlueprintSled) -> BlueprintSled:
    return msgspec.structs.replace(sled, sled_agent_generation=sled.sled_agent_generation + 1)
