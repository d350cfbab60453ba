"""Any edits, one after another: what holds between a blueprint and all that come after it."""

from __future__ import annotations

from uuid import UUID

import msgspec
from blueprint_lab import FIRST_NEXUS, FIRST_SLED, INITIAL, SECOND_NEXUS, SECOND_SLED, edited_child
from hypothesis import given
from hypothesis import strategies as st

from nexus.deployment.blueprint import Blueprint, BlueprintSled, Expunged
from nexus.deployment.diff import diff
from nexus.deployment.edits import (
    AddNexusZone,
    BumpNexusGeneration,
    Edit,
    EditRefused,
    ExpungeSled,
    ExpungeZone,
    MarkReadyForCleanup,
    MoveNexusZone,
)
from nexus.deployment.succession import objections
from nexus.ids import NexusId, SledId

zone_ids = st.sampled_from([FIRST_NEXUS, SECOND_NEXUS, *(NexusId(UUID(int=number)) for number in range(1, 5))])
sled_ids = st.sampled_from([FIRST_SLED, SECOND_SLED, SledId(UUID(int=9))])
addresses = st.integers(1, 9).map(lambda port: f"[::1]:{port}")
edits: st.SearchStrategy[Edit] = st.one_of(
    st.builds(ExpungeZone, zone_ids, st.booleans()),
    st.builds(MarkReadyForCleanup, zone_ids),
    st.builds(ExpungeSled, sled_ids),
    st.builds(AddNexusZone, zone_ids, addresses, st.just("100::1"), st.none() | sled_ids, st.booleans()),
    st.builds(MoveNexusZone, zone_ids, addresses),
    st.just(BumpNexusGeneration()),
)


def check_later(before: Blueprint, after: Blueprint) -> None:
    assert after.parent_blueprint_id == before.id
    # Where a Nexus is found to listen, there it is, whatever the blueprint says of others.
    assert [wrong for wrong in objections(before, after) if "internal address" not in wrong] == []
    assert after.nexus_generation >= before.nexus_generation
    assert after.sleds.keys() == before.sleds.keys()
    for sled_id, sled in before.sleds.items():
        later = after.sleds[sled_id]
        assert later.sled_agent_generation >= sled.sled_agent_generation
        assert later.state == sled.state or later.state == "decommissioned"
        assert (later.sled_agent_generation > sled.sled_agent_generation) >= (_running(later) != _running(sled))
    for sled_id, zone in before.zones():
        found = after.find_zone(zone.id)
        assert found is not None
        assert found[0] == sled_id
        if isinstance(zone.disposition, Expunged):
            ready = msgspec.structs.replace(zone.disposition, ready_for_cleanup=True)
            assert found[1].disposition in (zone.disposition, ready)


def _running(sled: BlueprintSled) -> list[object]:
    return [zone.zone_type for zone in sled.zones if zone.in_service]


@given(st.lists(edits, max_size=12))
def test_no_edit_takes_anything_back(sequence: list[Edit]) -> None:
    blueprint = INITIAL
    for number, edit in enumerate(sequence, 2):
        try:
            after = edited_child(blueprint, edit, number=number)
        except EditRefused:
            continue
        check_later(blueprint, after)
        assert diff(blueprint, after).has_changes
        assert msgspec.json.decode(msgspec.json.encode(after), type=Blueprint) == after
        blueprint = after
    for sled in blueprint.sleds.values():
        for zone in sled.zones:
            match zone.disposition:
                case Expunged(as_of_generation=generation, ready_for_cleanup=ready):
                    assert 1 < generation <= sled.sled_agent_generation
                    assert ready or sled.state == "active"
                case _:
                    assert sled.state == "active"
