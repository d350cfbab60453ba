"""Which state each Nexus is to be in."""

from __future__ import annotations

from uuid import UUID

import pytest
from blueprint_lab import FIRST_NEXUS, FIRST_SLED, INITIAL, SECOND_NEXUS, edited_child

from nexus.deployment.edits import AddNexusZone, BumpNexusGeneration, ExpungeZone
from nexus.deployment.nexus_states import goal_state
from nexus.ids import NexusId
from nexus.rack import NexusZone

NEXT = NexusId(UUID(int=3))
WITH_NEXT = edited_child(
    INITIAL, AddNexusZone(NexusZone(NEXT, FIRST_SLED, "[::1]:3", "100::3"), 2), ExpungeZone(SECOND_NEXUS)
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
