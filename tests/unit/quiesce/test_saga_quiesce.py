"""What a Nexus knows of its sagas as it quiesces, told as stories."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from blueprint_lab import FIRST_NEXUS, FIRST_SLED, INITIAL, SECOND_NEXUS, added, edited_child

from nexus.deployment.edits import BumpNexusGeneration, ExpungeZone
from nexus.ids import NexusId
from nexus.quiesce.sagas import SagaQuiesce
from nexus.rack import NexusZone

if TYPE_CHECKING:
    from nexus.deployment.blueprint import Blueprint

NEXT = NexusId(UUID(int=3))
SECOND_EXPUNGED = edited_child(INITIAL, ExpungeZone(SECOND_NEXUS, ready_for_cleanup=True), number=2)
ADD_NEXT = added(NexusZone(NEXT, FIRST_SLED, "[::1]:3", "100::3"), next_generation=True)
BUMPED = edited_child(SECOND_EXPUNGED, ADD_NEXT, BumpNexusGeneration(), number=3)


class Story:
    """The first Nexus, and what happens to it."""

    def __init__(self) -> None:
        self.state = SagaQuiesce()

    def sees(self, blueprint: Blueprint) -> str:
        self.state = self.state.told(blueprint, FIRST_NEXUS)
        return self.state.new_sagas

    def is_asked_to_quiesce(self) -> None:
        self.state = self.state.requested()

    def reassigns(self, blueprint: Blueprint, *, moved: bool) -> None:
        self.state = self.state.reassignment_started().reassigned(blueprint.id, moved=moved)

    def reassigns_unsurely(self) -> None:
        self.state = self.state.reassignment_started().reassignment_unsure()

    def begins_recovery(self) -> None:
        self.state = self.state.recovery_started()

    def ends_recovery(self) -> None:
        self.state = self.state.recovered()

    def recovers(self) -> None:
        self.begins_recovery()
        self.ends_recovery()

    def is_drained_as_of(self, blueprint: Blueprint | None, *, idle: bool = True) -> bool:
        self.state = self.state.settled(idle=idle)
        return self.state.drained_blueprint_id == (None if blueprint is None else blueprint.id)


def quiescing() -> Story:
    story = Story()
    story.is_asked_to_quiesce()
    return story


def test_new_sagas_wait_for_the_first_blueprint() -> None:
    story = Story()
    assert story.state.new_sagas == "disallowed_unknown"
    assert story.sees(INITIAL) == "allowed"
    assert story.state.reason == ""


def test_a_nexus_that_is_in_no_blueprint_never_learns() -> None:
    state = SagaQuiesce().told(INITIAL, NEXT)
    assert state == SagaQuiesce()


def test_a_newer_generation_ends_it_and_nothing_brings_it_back() -> None:
    story = Story()
    assert story.sees(INITIAL) == "allowed"
    assert story.sees(BUMPED) == "disallowed_quiesce"
    assert f"it is of generation 1, and in blueprint {BUMPED.id} the active one is 2" in story.state.reason
    assert story.sees(INITIAL) == "disallowed_quiesce"


def test_an_expunged_nexus_makes_no_new_sagas() -> None:
    state = SagaQuiesce().told(SECOND_EXPUNGED, SECOND_NEXUS)
    assert state.new_sagas == "disallowed_quiesce"
    assert state.reason.endswith(f"is expunged in blueprint {SECOND_EXPUNGED.id}")


def test_it_is_drained_when_all_is_reassigned_recovered_and_ended() -> None:
    story = quiescing()
    story.recovers()
    story.reassigns(SECOND_EXPUNGED, moved=True)
    assert story.is_drained_as_of(None)
    story.recovers()
    assert story.is_drained_as_of(None, idle=False)
    assert story.is_drained_as_of(SECOND_EXPUNGED)


def test_it_is_not_drained_while_it_makes_sagas() -> None:
    story = Story()
    story.sees(INITIAL)
    story.reassigns(INITIAL, moved=False)
    story.recovers()
    assert story.is_drained_as_of(None)
    story.is_asked_to_quiesce()
    assert story.is_drained_as_of(INITIAL)


def test_it_is_not_drained_before_a_recovery_was_complete() -> None:
    story = quiescing()
    story.reassigns(INITIAL, moved=False)
    assert story.is_drained_as_of(None)
    story.state = story.state.recovery_started().recovery_failed()
    assert story.is_drained_as_of(None)
    story.recovers()
    assert story.is_drained_as_of(INITIAL)


def test_it_is_not_drained_while_it_reassigns() -> None:
    story = quiescing()
    story.recovers()
    story.state = story.state.reassignment_started()
    assert story.is_drained_as_of(None)


@pytest.mark.parametrize("moved", [True, False])
def test_a_reassignment_during_a_recovery(moved: bool) -> None:
    """What moved after the pass began may be missing from its list: only another pass has it for sure."""
    story = quiescing()
    story.begins_recovery()
    story.reassigns(SECOND_EXPUNGED, moved=moved)
    story.ends_recovery()
    assert story.is_drained_as_of(None if moved else SECOND_EXPUNGED)
    story.recovers()
    assert story.is_drained_as_of(SECOND_EXPUNGED)


def test_what_a_failed_reassignment_did_is_found_out_by_the_next() -> None:
    story = quiescing()
    story.reassigns(INITIAL, moved=False)
    story.recovers()
    story.reassigns_unsurely()
    story.recovers()
    assert story.is_drained_as_of(INITIAL)
    story.reassigns(SECOND_EXPUNGED, moved=False)
    assert story.is_drained_as_of(SECOND_EXPUNGED)


def test_a_later_blueprint_is_another_matter() -> None:
    story = quiescing()
    story.reassigns(INITIAL, moved=False)
    story.recovers()
    assert story.is_drained_as_of(INITIAL)
    story.reassigns(SECOND_EXPUNGED, moved=True)
    assert story.is_drained_as_of(INITIAL)
    story.recovers()
    assert story.is_drained_as_of(SECOND_EXPUNGED)
