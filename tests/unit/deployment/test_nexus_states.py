"""Which state each Nexus is to be in, and what one that starts makes of that."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from blueprint_lab import FIRST_NEXUS, FIRST_SLED, INITIAL, SECOND_NEXUS, added, edited_child

from nexus.deployment.edits import BumpNexusGeneration, ExpungeZone, MarkReadyForCleanup
from nexus.deployment.nexus_states import (
    AwaitHandoff,
    AwaitRecord,
    NexusQuiesced,
    TakeOver,
    UseDatabase,
    first_states,
    goal_state,
    turn_of,
    who_is_waited_for,
)
from nexus.deployment.own_zone import NexusExpunged
from nexus.ids import NexusId
from nexus.rack import NexusZone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexus.deployment.blueprint import Blueprint
    from nexus.deployment.nexus_states import NexusState, Turn

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
JOINED = edited_child(BUMPED, added(NexusZone(JOINING, FIRST_SLED, "[::1]:9", "100::9")), number=4)
EXPUNGED = edited_child(BUMPED, ExpungeZone(FIRST_NEXUS), number=4)
GONE = edited_child(BUMPED, ExpungeZone(FIRST_NEXUS, ready_for_cleanup=True), number=4)
LAST = NexusId(UUID(int=5))
WITH_LAST = edited_child(
    BUMPED, added(NexusZone(LAST, FIRST_SLED, "[::1]:5", "100::5"), next_generation=True), number=4
)


def test_who_executes_is_active_and_whoever_is_later_waits_for_the_handoff() -> None:
    """Also once the generation was bumped: those of the old one are active until they say otherwise."""
    for blueprint in (WITH_NEXT, BUMPED):
        assert first_states(blueprint, generation=1) == {FIRST_NEXUS: "active", NEXT: "not_yet"}
    assert first_states(BUMPED, generation=2) == {NEXT: "active"}


UNRECORDED = "an active Nexus to record that this one is of a later generation"
TO_MAKE_WAY = f"its record in db_metadata_nexus, while in blueprint {BUMPED.id} its generation is to make way"
HANDOFF = f"the handoff: {FIRST_NEXUS} is not quiesced yet"
HANDOFF_OF_TWO = f"{HANDOFF}; {JOINING} is not quiesced yet"
HANDOFF_OF_EXPUNGED = f"the handoff: {FIRST_NEXUS} is expunged, and not known to run no more"


def not_due(blueprint: Blueprint, own: int) -> AwaitHandoff:
    active = f"in blueprint {blueprint.id} the active one is {own - 1}"
    return AwaitHandoff(f"the handoff: this one is of generation {own}, and {active}")


@pytest.mark.parametrize(
    ("blueprint", "nexus_id", "states", "turn"),
    [
        (WITH_NEXT, FIRST_NEXUS, {FIRST_NEXUS: "active", NEXT: "not_yet"}, UseDatabase()),
        (BUMPED, FIRST_NEXUS, {FIRST_NEXUS: "active", NEXT: "not_yet"}, UseDatabase()),
        (WITH_NEXT, NEXT, {FIRST_NEXUS: "active", NEXT: "not_yet"}, AwaitHandoff(HANDOFF)),
        (BUMPED, NEXT, {FIRST_NEXUS: "active", JOINING: "active", NEXT: "not_yet"}, AwaitHandoff(HANDOFF_OF_TWO)),
        (BUMPED, NEXT, {FIRST_NEXUS: "quiesced", NEXT: "not_yet"}, TakeOver((NEXT,))),
        (BUMPED, NEXT, {FIRST_NEXUS: "quiesced", NEXT: "active"}, UseDatabase()),
        (WITH_NEXT, NEXT, {FIRST_NEXUS: "active"}, AwaitRecord(UNRECORDED)),
        (BUMPED, NEXT, {FIRST_NEXUS: "active"}, AwaitHandoff(HANDOFF)),
        (BUMPED, NEXT, {FIRST_NEXUS: "quiesced"}, UseDatabase()),
        (BUMPED, FIRST_NEXUS, {}, AwaitRecord(TO_MAKE_WAY)),
        (WITH_NEXT, JOINING, {FIRST_NEXUS: "active"}, UseDatabase()),
        (BUMPED, JOINING, {FIRST_NEXUS: "active"}, AwaitHandoff(HANDOFF)),
        (BUMPED, JOINING, {FIRST_NEXUS: "active", NEXT: "active"}, AwaitHandoff(HANDOFF)),
        (BUMPED, JOINING, {FIRST_NEXUS: "quiesced", NEXT: "active"}, UseDatabase()),
        (BUMPED, JOINING, {FIRST_NEXUS: "quiesced", NEXT: "not_yet"}, TakeOver((NEXT,))),
        (JOINED, NEXT, {FIRST_NEXUS: "quiesced", JOINING: "active", NEXT: "not_yet"}, TakeOver((NEXT,))),
        (JOINED, NEXT, {JOINING: "not_yet", NEXT: "not_yet"}, TakeOver((NEXT, JOINING))),
        (EXPUNGED, NEXT, {FIRST_NEXUS: "active", NEXT: "not_yet"}, AwaitHandoff(HANDOFF_OF_EXPUNGED)),
        (EXPUNGED, JOINING, {FIRST_NEXUS: "active", NEXT: "not_yet"}, AwaitHandoff(HANDOFF_OF_EXPUNGED)),
        (GONE, NEXT, {FIRST_NEXUS: "active", NEXT: "not_yet"}, TakeOver((NEXT,))),
        (GONE, JOINING, {FIRST_NEXUS: "active", NEXT: "not_yet"}, TakeOver((NEXT,))),
        (WITH_LAST, LAST, {FIRST_NEXUS: "quiesced", NEXT: "not_yet", LAST: "not_yet"}, not_due(WITH_LAST, 3)),
        (WITH_LAST, NEXT, {FIRST_NEXUS: "quiesced", NEXT: "not_yet", LAST: "not_yet"}, TakeOver((NEXT,))),
        (WITH_LAST, LAST, {NEXT: "quiesced", LAST: "not_yet"}, not_due(WITH_LAST, 3)),
        (WITH_NEXT, NEXT, {FIRST_NEXUS: "quiesced", NEXT: "not_yet"}, not_due(WITH_NEXT, 2)),
        (WITH_NEXT, JOINING, {FIRST_NEXUS: "quiesced", NEXT: "not_yet"}, UseDatabase()),
    ],
)
def test_what_one_that_starts_is_to_do(
    blueprint: Blueprint, nexus_id: NexusId, states: Mapping[NexusId, NexusState], turn: Turn
) -> None:
    assert turn_of(blueprint, states, nexus_id) == turn


@pytest.mark.parametrize("recorded", ["active", "not_yet", "quiesced", None])
def test_an_expunged_one_waits_for_nothing(recorded: NexusState | None) -> None:
    states: dict[NexusId, NexusState] = {FIRST_NEXUS: "active"}
    if recorded is not None:
        states[NEXT] = recorded
    expunged = edited_child(WITH_NEXT, ExpungeZone(NEXT), number=3)
    with pytest.raises(NexusExpunged, match=f"^zone {NEXT} is expunged in blueprint {expunged.id};"):
        turn_of(expunged, states, NEXT)


def test_who_makes_way_waits_for_all_that_may_leave_sagas_to_it() -> None:
    assert who_is_waited_for(INITIAL, FIRST_NEXUS, [FIRST_NEXUS, SECOND_NEXUS]) == []
    assert who_is_waited_for(INITIAL, FIRST_NEXUS, [FIRST_NEXUS]) == [str(SECOND_NEXUS)]
    left = edited_child(INITIAL, ExpungeZone(SECOND_NEXUS))
    gone = edited_child(left, MarkReadyForCleanup(SECOND_NEXUS), number=3)
    for done in ([FIRST_NEXUS], [FIRST_NEXUS, SECOND_NEXUS]):
        expunged = f"{SECOND_NEXUS} (expunged, and not known to run no more)"
        assert who_is_waited_for(left, FIRST_NEXUS, done) == [expunged]
        assert who_is_waited_for(gone, FIRST_NEXUS, done) == []
    assert who_is_waited_for(BUMPED, FIRST_NEXUS, [FIRST_NEXUS]) == [
        f"{SECOND_NEXUS} (expunged, and not known to run no more)"
    ]
    assert who_is_waited_for(BUMPED, NEXT, [NEXT]) == []


def test_a_quiesced_one_never_comes_back() -> None:
    with pytest.raises(NexusQuiesced, match=f"^Nexus {FIRST_NEXUS} is quiesced: "):
        turn_of(BUMPED, {FIRST_NEXUS: "quiesced", NEXT: "active"}, FIRST_NEXUS)
