"""Which of its Nexuses the simulated sled agent stops, and of which it says that they never come back."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec
import pytest
from blueprint_lab import FIRST_NEXUS, INITIAL, SECOND_NEXUS, SECOND_SLED, added, edited_child

from nexus.deployment.edits import Edit, ExpungeSled, ExpungeZone, MarkReadyForCleanup
from nexus.rack import NexusZone
from simstack.progress import Silent
from simstack.services import ServiceBoard
from simstack.sled_agent import Blueprint, Target

THIRD = added(NexusZone(UUID(int=3), SECOND_SLED, "[::1]:9", "100::3"))
"""Somebody must be left in service."""


@pytest.mark.parametrize(
    ("edits", "to_stop", "gone"),
    [
        ((), set(), set()),
        ((ExpungeZone(SECOND_NEXUS),), {SECOND_NEXUS}, {SECOND_NEXUS}),
        (
            (THIRD, ExpungeZone(SECOND_NEXUS), ExpungeZone(FIRST_NEXUS)),
            {FIRST_NEXUS, SECOND_NEXUS},
            {FIRST_NEXUS, SECOND_NEXUS},
        ),
        ((ExpungeSled(SECOND_SLED),), set(), {SECOND_NEXUS}),
        ((ExpungeZone(SECOND_NEXUS), MarkReadyForCleanup(SECOND_NEXUS)), set(), {SECOND_NEXUS}),
    ],
)
def test_it_stops_what_is_expunged_until_somebody_says_that_it_runs_no_more(
    edits: tuple[Edit, ...], to_stop: set[UUID], gone: set[UUID]
) -> None:
    """In the blueprints of Nexus, as its API has them."""
    blueprint = edited_child(INITIAL, *edits) if edits else INITIAL
    seen = msgspec.json.decode(msgspec.json.encode(blueprint), type=Blueprint)
    assert seen.id == blueprint.id
    assert Target(seen, enabled=True).to_stop() == to_stop
    assert Target(seen, enabled=False).to_stop() == set()
    for enabled in (True, False):
        assert Target(seen, enabled).gone() == gone


@pytest.mark.parametrize("state", ["killed", "stopped", "exited"])
def test_one_that_has_ended_is_expunged_from_then_on(state: Literal["killed", "stopped", "exited"]) -> None:
    board = ServiceBoard(Silent())
    board.announce("nexus2", "http", awaits="its interpreter")
    board.never_comes_back("nexus2", "it never comes back")
    assert shown(board) == ("starting", "waits for its interpreter")
    board.is_up("nexus2", "[::1]:9", pid=1)
    board.never_comes_back("nexus2", "it never comes back")
    assert shown(board) == ("running", "")
    board.ended("nexus2", state, "exited with status 1")
    board.never_comes_back("nexus2", "it never comes back")
    assert shown(board) == ("expunged", "it never comes back")


def shown(board: ServiceBoard) -> tuple[str, str]:
    (status,) = board.statuses()
    return status.state, status.detail
