"""Each edit of a blueprint, and each that makes no sense."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest
from blueprint_lab import (
    FIRST_NEXUS,
    FIRST_SLED,
    INITIAL,
    SECOND_NEXUS,
    SECOND_SLED,
    added,
    blueprint_id,
    child_metadata,
    edited_child,
)

from nexus.deployment.blueprint import Blueprint, Expunged
from nexus.deployment.edits import (
    AddNexusZone,
    BumpNexusGeneration,
    Edit,
    EditRefused,
    ExpungeSled,
    ExpungeZone,
    MarkReadyForCleanup,
    MoveNexusZone,
    RackState,
    child,
)
from nexus.deployment.planner import plan
from nexus.ids import NexusId, SledId
from nexus.rack import NexusZone

THIRD_NEXUS = NexusId(UUID(int=3))
THIRD = NexusZone(THIRD_NEXUS, SECOND_SLED, "[::1]:3", "100::3")


def disposition(blueprint: Blueprint, zone_id: NexusId) -> object:
    found = blueprint.find_zone(zone_id)
    assert found is not None
    return found[1].disposition


def generations(blueprint: Blueprint) -> dict[SledId, int]:
    return {sled_id: sled.sled_agent_generation for sled_id, sled in blueprint.sleds.items()}


def test_a_child_differs_by_its_metadata_alone() -> None:
    made = child(INITIAL, child_metadata(2))
    assert made.parent_blueprint_id == INITIAL.id
    assert made.id == blueprint_id(2)
    assert made.sleds == INITIAL.sleds


def test_expunging_a_zone_gives_its_sled_a_new_configuration() -> None:
    made = edited_child(INITIAL, ExpungeZone(SECOND_NEXUS))
    assert disposition(made, SECOND_NEXUS) == Expunged(as_of_generation=2, ready_for_cleanup=False)
    assert generations(made) == {FIRST_SLED: 1, SECOND_SLED: 2}
    assert made.sleds[FIRST_SLED] is INITIAL.sleds[FIRST_SLED]


def test_a_zone_that_was_seen_gone_is_ready_for_cleanup_at_once_or_later() -> None:
    at_once = edited_child(INITIAL, ExpungeZone(SECOND_NEXUS, ready_for_cleanup=True))
    later = edited_child(INITIAL, ExpungeZone(SECOND_NEXUS), MarkReadyForCleanup(SECOND_NEXUS))
    assert at_once.sleds == later.sleds


def test_an_expunged_sled_takes_its_zones_with_it() -> None:
    made = edited_child(INITIAL, added(THIRD), ExpungeZone(THIRD_NEXUS), ExpungeSled(SECOND_SLED))
    assert made.sleds[SECOND_SLED].state == "decommissioned"
    assert disposition(made, SECOND_NEXUS) == Expunged(as_of_generation=4, ready_for_cleanup=True)
    assert disposition(made, THIRD_NEXUS) == Expunged(as_of_generation=3, ready_for_cleanup=True)
    assert [zone.id for zone in made.active_nexuses()] == [FIRST_NEXUS]


def test_a_zone_is_added_and_moved() -> None:
    made = edited_child(INITIAL, added(THIRD), MoveNexusZone(THIRD_NEXUS, "127.0.0.1:4"))
    found = made.find_zone(THIRD_NEXUS)
    assert found is not None
    sled_id, zone = found
    assert sled_id == SECOND_SLED
    assert (zone.zone_type.internal_address, zone.zone_type.lockstep_port) == ("127.0.0.1:4", 4)
    assert generations(made) == {FIRST_SLED: 1, SECOND_SLED: 3}


def place(blueprint: Blueprint, zone_id: NexusId, rack: RackState) -> tuple[SledId, str]:
    """Sled and external address of a zone that is added, and of which only that is said where it listens."""
    found = child(blueprint, child_metadata(9), [AddNexusZone(zone_id, "[::1]:9")], rack=rack).find_zone(zone_id)
    assert found is not None
    return found[0], found[1].zone_type.external_ip.ip


def test_a_zone_is_put_on_the_last_sled_that_is_left() -> None:
    assert place(INITIAL, THIRD_NEXUS, RackState()) == (SECOND_SLED, "100::2")
    left = edited_child(INITIAL, ExpungeSled(SECOND_SLED))
    assert place(left, THIRD_NEXUS, RackState()) == (FIRST_SLED, "100::2")
    assert place(INITIAL, THIRD_NEXUS, RackState(expunged_sleds=[SECOND_SLED])) == (FIRST_SLED, "100::2")
    with pytest.raises(EditRefused, match="every sled is expunged"):
        place(left, THIRD_NEXUS, RackState(expunged_sleds=[FIRST_SLED]))


def test_zones_are_told_apart_by_external_addresses_that_nobody_had() -> None:
    gone = edited_child(INITIAL, AddNexusZone(THIRD_NEXUS, "[::1]:3"), ExpungeZone(THIRD_NEXUS))
    assert place(gone, NexusId(UUID(int=4)), RackState()) == (SECOND_SLED, "100::3")
    own = edited_child(INITIAL, AddNexusZone(THIRD_NEXUS, "[::1]:3", "192.0.2.1")).find_zone(THIRD_NEXUS)
    assert own is not None
    assert own[1].zone_type.external_ip.ip == "192.0.2.1"


def test_one_that_uses_the_database_is_left() -> None:
    def expunge(blueprint: Blueprint, rack: RackState, *zone_ids: NexusId) -> Blueprint:
        return child(blueprint, child_metadata(9), map(ExpungeZone, zone_ids), rack=rack)

    first_alone = RackState(use_database=[FIRST_NEXUS])
    nobody_left = "would be left in service have never run, or wait for the handoff, or are quiesced: "
    with pytest.raises(EditRefused, match=f"{nobody_left}{SECOND_NEXUS}; "):
        expunge(INITIAL, first_alone, FIRST_NEXUS)
    expunge(INITIAL, first_alone, SECOND_NEXUS)
    expunge(INITIAL, RackState(), FIRST_NEXUS)
    expunge(INITIAL, RackState(use_database=[]), FIRST_NEXUS)
    with_next = edited_child(INITIAL, added(THIRD, next_generation=True))
    bumped = child(with_next, child_metadata(3), [BumpNexusGeneration()], rack=first_alone)
    expunge(bumped, first_alone, SECOND_NEXUS)
    with pytest.raises(EditRefused, match=f"{nobody_left}{THIRD_NEXUS}, {SECOND_NEXUS}; "):
        expunge(bumped, first_alone, FIRST_NEXUS)
    with pytest.raises(EditRefused, match="no Nexus of the active generation would be left"):
        expunge(bumped, first_alone, THIRD_NEXUS)


def test_one_handoff_is_done_before_the_next() -> None:
    first_alone = RackState(use_database=[FIRST_NEXUS])
    with_next = edited_child(INITIAL, added(THIRD, next_generation=True), BumpNexusGeneration())
    fourth = AddNexusZone(NexusId(UUID(int=4)), "[::1]:4", next_generation=True)
    with_fourth = child(with_next, child_metadata(3), [fourth], rack=first_alone)
    with pytest.raises(EditRefused, match=f"the handoff to generation 2 is not done yet: {FIRST_NEXUS} must make way"):
        child(with_fourth, child_metadata(4), [BumpNexusGeneration()], rack=first_alone)
    done = RackState(use_database=[THIRD_NEXUS])
    assert child(with_fourth, child_metadata(4), [BumpNexusGeneration()], rack=done).nexus_generation == 3


def test_a_bump_hands_over_to_the_next_generation() -> None:
    made = edited_child(INITIAL, added(THIRD, next_generation=True), BumpNexusGeneration())
    assert made.nexus_generation == 2
    assert [zone.id for zone in made.active_nexuses()] == [THIRD_NEXUS]


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        ([ExpungeZone(THIRD_NEXUS)], "there is no zone"),
        ([ExpungeZone(SECOND_NEXUS), ExpungeZone(SECOND_NEXUS)], "is expunged already"),
        ([MarkReadyForCleanup(SECOND_NEXUS)], "is in service"),
        ([ExpungeZone(SECOND_NEXUS, True), MarkReadyForCleanup(SECOND_NEXUS)], "is ready for cleanup already"),
        ([ExpungeZone(SECOND_NEXUS), MoveNexusZone(SECOND_NEXUS, "[::1]:1")], "is expunged"),
        ([MoveNexusZone(SECOND_NEXUS, "localhost:1")], "is not an address"),
        ([ExpungeSled(SledId(UUID(int=9)))], "there is no sled"),
        ([ExpungeSled(SECOND_SLED), ExpungeSled(SECOND_SLED)], "is decommissioned already"),
        ([ExpungeSled(SECOND_SLED), added(THIRD)], "is decommissioned"),
        ([added(msgspec.structs.replace(THIRD, id=FIRST_NEXUS))], "there is a zone"),
        ([ExpungeZone(SECOND_NEXUS), added(msgspec.structs.replace(THIRD, id=SECOND_NEXUS))], "there is a zone"),
        ([AddNexusZone(THIRD_NEXUS, "[::1]:12223")], f"zone {SECOND_NEXUS} is in service at"),
        ([AddNexusZone(THIRD_NEXUS, "localhost:1")], "is not an address"),
        ([AddNexusZone(THIRD_NEXUS, "[::1]:3", "localhost")], "IPv4 or IPv6 address"),
        ([BumpNexusGeneration()], "no Nexus zone of generation 2 is in service"),
    ],
)
def test_an_edit_that_makes_no_sense_is_refused(edits: list[Edit], reason: str) -> None:
    *before, last = edits
    parent = edited_child(INITIAL, *before)
    with pytest.raises(EditRefused, match=reason):
        edited_child(parent, last)


def test_a_plan_expunges_the_sleds_that_are_gone_once() -> None:
    edits = plan(INITIAL, expunged_sleds=[SECOND_SLED])
    assert edits == (ExpungeSled(SECOND_SLED),)
    assert plan(edited_child(INITIAL, *edits), expunged_sleds=[SECOND_SLED]) == ()
    assert plan(INITIAL, expunged_sleds=[]) == ()
