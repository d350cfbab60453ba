"""What a Nexus that starts is to change in the target."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from blueprint_lab import FIRST_NEXUS, INITIAL, SECOND_NEXUS, edited_child

from dropshot.address import SocketAddr
from nexus.deployment.edits import AddNexusZone, ExpungeZone, MoveNexusZone
from nexus.deployment.own_zone import NexusExpunged, place_nexus
from nexus.ids import NexusId

if TYPE_CHECKING:
    from nexus.deployment.blueprint import Blueprint

NEW = NexusId(UUID(int=3))


def place(
    target: Blueprint, nexus_id: NexusId, port: int, *, external_ip: str = "192.0.2.1"
) -> AddNexusZone | MoveNexusZone | None:
    return place_nexus(target, nexus_id, internal_address=SocketAddr("::1", port), external_ip=external_ip)


def test_one_that_is_where_it_was_changes_nothing() -> None:
    assert place(INITIAL, FIRST_NEXUS, 12221) is None


def test_one_that_listens_elsewhere_is_moved() -> None:
    assert place(INITIAL, FIRST_NEXUS, 1) == MoveNexusZone(FIRST_NEXUS, "[::1]:1")


def test_an_unknown_one_is_added() -> None:
    assert place(INITIAL, NEW, 1) == AddNexusZone(NEW, "[::1]:1", "192.0.2.1")


def test_an_expunged_one_does_not_come_back() -> None:
    with pytest.raises(NexusExpunged, match=f"zone {SECOND_NEXUS} is expunged"):
        place(edited_child(INITIAL, ExpungeZone(SECOND_NEXUS)), SECOND_NEXUS, 12223)
