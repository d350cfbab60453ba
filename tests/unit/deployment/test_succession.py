"""What no blueprint may do that takes the place of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import pytest
from blueprint_lab import FIRST_NEXUS, FIRST_SLED, HANDOFF, INITIAL, SECOND_NEXUS, SECOND_SLED, added, edited_child

from nexus.deployment.edits import (
    NO_NEXUS_LEFT,
    BumpNexusGeneration,
    EditRefused,
    ExpungeSled,
    ExpungeZone,
    MoveNexusZone,
)
from nexus.deployment.succession import objections
from nexus.ids import NexusId, SledId
from nexus.rack import NexusZone

if TYPE_CHECKING:
    from nexus.deployment.blueprint import Blueprint, BlueprintZone

FIRST, SECOND = HANDOFF.nexus_zones
THIRD = NexusZone(NexusId(UUID(int=3)), SECOND_SLED, "[::1]:3", "100::3")
EXPUNGED = edited_child(INITIAL, ExpungeZone(SECOND_NEXUS))
READY = edited_child(INITIAL, ExpungeZone(SECOND_NEXUS, ready_for_cleanup=True))
BUMPED = edited_child(INITIAL, added(THIRD, next_generation=True), BumpNexusGeneration())
GONE = edited_child(INITIAL, ExpungeSled(SECOND_SLED))


def only(blueprint: Blueprint, *sled_ids: SledId) -> Blueprint:
    sleds = {sled_id: sled for sled_id, sled in blueprint.sleds.items() if sled_id in sled_ids}
    return msgspec.structs.replace(blueprint, sleds=sleds)


@pytest.mark.parametrize(
    ("target", "successor", "wrong"),
    [
        (READY, EXPUNGED, [f"zone {SECOND_NEXUS}, which is expunged, comes back"]),
        (
            EXPUNGED,
            INITIAL,
            [
                f"the configuration of sled {SECOND_SLED} falls below generation 2",
                f"zone {SECOND_NEXUS}, which is expunged, comes back",
            ],
        ),
        (
            BUMPED,
            EXPUNGED,
            ["the Nexus generation falls from 2 to 1", f"zone {THIRD.id} is missing"],
        ),
        (GONE, READY, [f"sled {SECOND_SLED}, which is decommissioned, comes back"]),
        (
            INITIAL,
            only(INITIAL, SECOND_SLED),
            [f"sled {FIRST_SLED} is missing", f"zone {FIRST_NEXUS} is missing"],
        ),
    ],
)
def test_nothing_is_taken_back(target: Blueprint, successor: Blueprint, wrong: list[str]) -> None:
    assert list(objections(target, successor)) == wrong


def test_a_zone_stays_on_its_sled() -> None:
    zones = INITIAL.sleds[SECOND_SLED].zones
    fuller = msgspec.structs.replace(INITIAL.sleds[FIRST_SLED], zones=(*zones, *INITIAL.sleds[FIRST_SLED].zones))
    empty = msgspec.structs.replace(INITIAL.sleds[SECOND_SLED], zones=())
    moved = msgspec.structs.replace(INITIAL, sleds={FIRST_SLED: fuller, SECOND_SLED: empty})
    assert list(objections(INITIAL, moved)) == [f"zone {SECOND_NEXUS} is on another sled"]


def test_a_nexus_of_the_active_generation_is_left() -> None:
    first = msgspec.structs.replace(
        INITIAL.sleds[FIRST_SLED].zones[0], disposition=EXPUNGED.sleds[SECOND_SLED].zones[0].disposition
    )
    sled = msgspec.structs.replace(INITIAL.sleds[FIRST_SLED], zones=(first,), sled_agent_generation=2)
    successor = msgspec.structs.replace(EXPUNGED, sleds={**EXPUNGED.sleds, FIRST_SLED: sled})
    assert list(objections(EXPUNGED, successor)) == [NO_NEXUS_LEFT]


def with_zone(blueprint: Blueprint, zone: BlueprintZone) -> Blueprint:
    """`zone` in the place of the one that has its id."""
    found = blueprint.find_zone(zone.id)
    assert found is not None
    sled_id, _ = found
    zones = tuple(zone if each.id == zone.id else each for each in blueprint.sleds[sled_id].zones)
    sled = msgspec.structs.replace(blueprint.sleds[sled_id], zones=zones)
    return msgspec.structs.replace(blueprint, sleds={**blueprint.sleds, sled_id: sled})


def changed(blueprint: Blueprint, zone_id: NexusId, **changes: object) -> Blueprint:
    """With changes in the type of a zone."""
    found = blueprint.find_zone(zone_id)
    assert found is not None
    zone_type = msgspec.structs.replace(found[1].zone_type, **changes)
    return with_zone(blueprint, msgspec.structs.replace(found[1], zone_type=zone_type))


def test_a_nexus_stays_in_its_generation() -> None:
    wrong = [f"the Nexus generation of zone {SECOND_NEXUS} changes from 1 to 2"]
    assert list(objections(INITIAL, changed(INITIAL, SECOND_NEXUS, nexus_generation=2))) == wrong
    assert list(objections(EXPUNGED, changed(EXPUNGED, SECOND_NEXUS, nexus_generation=2))) == wrong


def test_an_expunged_zone_becomes_ready_for_cleanup_and_nothing_else() -> None:
    assert list(objections(EXPUNGED, READY)) == []
    wrong = [f"zone {SECOND_NEXUS}, which is expunged, changes"]
    for successor in (EXPUNGED, READY):
        assert list(objections(EXPUNGED, changed(successor, SECOND_NEXUS, internal_address="[::1]:9"))) == wrong
    (zone,) = EXPUNGED.sleds[SECOND_SLED].zones
    elsewhere = with_zone(EXPUNGED, msgspec.structs.replace(zone, filesystem_pool="another"))
    assert list(objections(EXPUNGED, elsewhere)) == wrong


def test_a_nexus_in_service_may_move() -> None:
    assert list(objections(INITIAL, edited_child(INITIAL, MoveNexusZone(SECOND_NEXUS, "[::1]:9")))) == []


def test_no_two_nexuses_are_put_at_one_address() -> None:
    taken = FIRST.internal_address
    moved = edited_child(INITIAL, MoveNexusZone(SECOND_NEXUS, taken))
    wrong = f"zones {SECOND_NEXUS} and {FIRST_NEXUS}, which are in service, have one internal address, {taken}"
    assert list(objections(INITIAL, moved)) == [wrong]
    third = changed(edited_child(moved, added(THIRD)), NexusId(THIRD.id), internal_address=taken)
    (wrong,) = objections(moved, third)
    assert f"zones {THIRD.id} and {SECOND_NEXUS} and {FIRST_NEXUS}" in wrong


def test_two_that_are_at_one_address_keep_nothing_else_from_changing() -> None:
    moved = edited_child(INITIAL, MoveNexusZone(SECOND_NEXUS, FIRST.internal_address))
    assert list(objections(moved, edited_child(moved, added(THIRD)))) == []
    assert list(objections(moved, edited_child(moved, ExpungeZone(SECOND_NEXUS)))) == []
    assert list(objections(EXPUNGED, changed(EXPUNGED, FIRST_NEXUS, internal_address=SECOND.internal_address))) == []


@pytest.mark.parametrize("last", [ExpungeZone(FIRST_NEXUS), ExpungeSled(FIRST_SLED)])
def test_no_edit_takes_away_the_last_one(last: ExpungeZone | ExpungeSled) -> None:
    with pytest.raises(EditRefused, match="no Nexus of the active generation would be left in service"):
        edited_child(EXPUNGED, last, number=3)
    assert edited_child(EXPUNGED, added(THIRD), last, number=3).active_nexuses() == [THIRD]
