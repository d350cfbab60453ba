"""Which state each Nexus is to be in."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from blueprint_lab import FIRST_NEXUS, FIRST_SLED, INITIAL, SECOND_NEXUS, added, edited_child

from nexus.deployment.edits import BumpNexusGeneration, ExpungeZone
from nexus.deployment.nexus_states import (
    first_states,
    goal_state,
    handoff_waits_for,
    joining_waits_for,
    record_waits_for,
)
from nexus.ids import NexusId
from nexus.rack import NexusZone

if TYPE_CHECKING:
    from nexus.deployment.blueprint import Blueprint
    from nexus.deployment.nexus_states import NexusState

NEXT = NexusId(UUID(int=3))
WITH_NEXT = edited_child(
    INITIAL, added(NexusZone(NEXT, FIRST_SLED, "[::1]:3", "100::3"), next_generation=True), ExpungeZone(SECOND_NEXUS)
)


@pytest.mark.parametrize(
    ("nexus_id", "before", "after"),
    [
        (FIRST_NEXUS, "active", "quiesced"),
        (SECOND_NEXUS, None, None),
        (NEXT, "not_yet", "active"),
        (NexusId(UUID(int=9)), None, None),
    ],
)
def test_the_generations_take_turns(nexus_id: NexusId, before: str | None, after: str | None) -> None:
    assert goal_state(WITH_NEXT, nexus_id) == before
    assert goal_state(edited_child(WITH_NEXT, BumpNexusGeneration(), number=3), nexus_id) == after


BUMPED = edited_child(WITH_NEXT, BumpNexusGeneration(), number=3)
JOINING = NexusId(UUID(int=9))


def test_who_executes_is_active_and_whoever_is_later_waits_for_the_handoff() -> None:
    """Also once the generation was bumped: those of the old one are active until they say otherwise."""
    for blueprint in (WITH_NEXT, BUMPED):
        assert first_states(blueprint, generation=1) == {FIRST_NEXUS: "active", NEXT: "not_yet"}
    assert first_states(BUMPED, generation=2) == {NEXT: "active"}


def test_nobody_takes_over_while_one_is_active() -> None:
    assert (
        handoff_waits_for({FIRST_NEXUS: "active", NEXT: "not_yet"}) == f"the handoff: {FIRST_NEXUS} is not quiesced yet"
    )
    assert handoff_waits_for({FIRST_NEXUS: "quiesced", NEXT: "not_yet"}) is None


@pytest.mark.parametrize(
    ("blueprint", "nexus_id", "first", "waits_for"),
    [
        (WITH_NEXT, JOINING, "active", None),
        (BUMPED, JOINING, "active", f"the handoff: {FIRST_NEXUS} is not quiesced yet"),
        (BUMPED, JOINING, "quiesced", None),
        (WITH_NEXT, SECOND_NEXUS, "active", None),
        (WITH_NEXT, NEXT, "active", "an active Nexus to record that this one is of a later generation"),
        (BUMPED, NEXT, "active", f"the handoff: {FIRST_NEXUS} is not quiesced yet"),
        (BUMPED, FIRST_NEXUS, None, f"while in blueprint {BUMPED.id} its generation is to make way"),
    ],
)
def test_one_of_which_nothing_is_recorded(
    blueprint: Blueprint, nexus_id: NexusId, first: NexusState | None, waits_for: str | None
) -> None:
    """An expunged one may go on: it finds out by itself."""
    states: dict[NexusId, NexusState] = {} if first is None else {FIRST_NEXUS: first}
    reason = record_waits_for(blueprint, nexus_id) or joining_waits_for(blueprint, states)
    assert (reason is None) if waits_for is None else (waits_for in (reason or ""))
