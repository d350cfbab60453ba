"""Which of its Nexuses the simulated sled agent stops."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest
from blueprint_lab import FIRST_NEXUS, INITIAL, SECOND_NEXUS, SECOND_SLED, added, edited_child

from nexus.deployment.edits import Edit, ExpungeSled, ExpungeZone, MarkReadyForCleanup
from nexus.rack import NexusZone
from simstack.sled_agent import Blueprint, zones_to_stop

THIRD = added(NexusZone(UUID(int=3), SECOND_SLED, "[::1]:9", "100::3"))
"""Somebody must be left in service."""


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ((), set()),
        ((ExpungeZone(SECOND_NEXUS),), {SECOND_NEXUS}),
        ((THIRD, ExpungeZone(SECOND_NEXUS), ExpungeZone(FIRST_NEXUS)), {FIRST_NEXUS, SECOND_NEXUS}),
        ((ExpungeSled(SECOND_SLED),), set()),
        ((ExpungeZone(SECOND_NEXUS), MarkReadyForCleanup(SECOND_NEXUS)), set()),
    ],
)
def test_it_stops_what_is_expunged_until_somebody_says_that_it_runs_no_more(
    edits: tuple[Edit, ...], expected: set[UUID]
) -> None:
    """In the blueprints of Nexus, as its API has them."""
    target = edited_child(INITIAL, *edits) if edits else INITIAL
    seen = msgspec.json.decode(msgspec.json.encode(target), type=Blueprint)
    assert seen.id == target.id
    assert zones_to_stop(seen) == expected
