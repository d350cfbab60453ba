"""Who executes a blueprint, and what becomes of the sagas of expunged Nexuses."""

from __future__ import annotations

from uuid import UUID

from blueprint_lab import FIRST_NEXUS, FIRST_SLED, INITIAL, SECOND_NEXUS, added, edited_child

from nexus.deployment.edits import BumpNexusGeneration, ExpungeZone
from nexus.deployment.execution import SagaMoves, saga_moves, why_not_to_execute
from nexus.ids import NexusId
from nexus.rack import NexusZone

NEXT = NexusId(UUID(int=3))
WITH_NEXT = edited_child(
    INITIAL,
    added(NexusZone(NEXT, FIRST_SLED, "[::1]:3", "100::3"), next_generation=True),
    ExpungeZone(SECOND_NEXUS, ready_for_cleanup=True),
)
BUMPED = edited_child(WITH_NEXT, BumpNexusGeneration(), number=3)


def test_a_nexus_of_the_active_generation_adopts_and_one_that_is_not_yet_of_it_orphans_nothing() -> None:
    assert saga_moves(WITH_NEXT, FIRST_NEXUS) == SagaMoves(reassign_from=(SECOND_NEXUS,), orphaned=())
    assert saga_moves(WITH_NEXT, NEXT) == SagaMoves(reassign_from=(), orphaned=())


def test_one_that_drains_adopts_and_the_active_ones_orphan() -> None:
    assert saga_moves(BUMPED, FIRST_NEXUS) == SagaMoves(reassign_from=(SECOND_NEXUS,), orphaned=())
    assert saga_moves(BUMPED, NEXT) == SagaMoves(reassign_from=(), orphaned=(SECOND_NEXUS,))


def test_who_executes() -> None:
    assert why_not_to_execute(WITH_NEXT, FIRST_NEXUS) is None
    assert why_not_to_execute(BUMPED, FIRST_NEXUS) is None
    assert why_not_to_execute(BUMPED, NEXT) is None
    reasons = [why_not_to_execute(WITH_NEXT, nexus_id) for nexus_id in (NEXT, SECOND_NEXUS, NexusId(UUID(int=9)))]
    assert reasons == [
        f"this Nexus, zone {NEXT}, is of a generation that is not active yet: it executes nothing so far",
        f"this Nexus, zone {SECOND_NEXUS}, is expunged: it executes nothing any more",
        f"blueprint {WITH_NEXT.id} has no zone {UUID(int=9)}, which is this Nexus",
    ]
